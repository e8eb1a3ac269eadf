// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// commonField is a field that policies often grant entirely. The fast path handles updates
// that change no other fields without computing the changed paths.
type commonField struct {
	path  string
	copy  func(to, from *batch.Job)
	equal func(a, b *batch.Job) bool
}

// commonFields are the fields of the bootstrap policies, annotations and suspend.
var commonFields = [...]commonField{
	{
		"metadata.annotations",
		func(to, from *batch.Job) { to.Annotations = from.Annotations },
		func(a, b *batch.Job) bool { return maps.Equal(a.Annotations, b.Annotations) },
	},
	{
		"metadata.finalizers",
		func(to, from *batch.Job) { to.Finalizers = from.Finalizers },
		func(a, b *batch.Job) bool { return slices.Equal(a.Finalizers, b.Finalizers) },
	},
	{
		"metadata.labels",
		func(to, from *batch.Job) { to.Labels = from.Labels },
		func(a, b *batch.Job) bool { return maps.Equal(a.Labels, b.Labels) },
	},
	{
		"metadata.ownerReferences",
		func(to, from *batch.Job) { to.OwnerReferences = from.OwnerReferences },
		func(a, b *batch.Job) bool {
			return equalLists(a.OwnerReferences, b.OwnerReferences, equalOwnerReference)
		},
	},
	{
		"spec.completions",
		func(to, from *batch.Job) { to.Spec.Completions = from.Spec.Completions },
		func(a, b *batch.Job) bool { return equalOptional(a.Spec.Completions, b.Spec.Completions) },
	},
	{
		"spec.parallelism",
		func(to, from *batch.Job) { to.Spec.Parallelism = from.Spec.Parallelism },
		func(a, b *batch.Job) bool { return equalOptional(a.Spec.Parallelism, b.Spec.Parallelism) },
	},
	{
		"spec.selector",
		func(to, from *batch.Job) { to.Spec.Selector = from.Spec.Selector },
		func(a, b *batch.Job) bool { return equalPointers(a.Spec.Selector, b.Spec.Selector, equalLabelSelector) },
	},
	{
		"spec.suspend",
		func(to, from *batch.Job) { to.Spec.Suspend = from.Spec.Suspend },
		func(a, b *batch.Job) bool { return equalOptional(a.Spec.Suspend, b.Spec.Suspend) },
	},
}

// commonPaths are the parsed paths of commonFields.
var commonPaths = func() (paths [len(commonFields)]fieldpath.Path) {
	for i, f := range commonFields {
		path, err := fieldpath.Parse(f.path)
		if err != nil {
			panic(err)
		}
		paths[i] = path
	}
	return paths
}()

// commonFieldSet is a set of common fields, with one bit for each index of commonFields.
type commonFieldSet uint16

func (s commonFieldSet) has(i int) bool { return s&(1<<i) != 0 }

// evaluateFast returns nil unless the update changes only common fields, each of which the user may
// change entirely and without a warning.
func (s *Snapshot) evaluateFast(new, old *batch.Job, user User) *Decision {
	var updatable commonFieldSet
	s.forSubjects(user, func(r *subjectRules) { updatable |= r.common })
	job := *old
	job.ObjectMeta = mergeMetadata(old, new, old)
	var changed commonFieldSet
	for i := range commonFields {
		if updatable.has(i) && !commonFields[i].equal(new, old) {
			commonFields[i].copy(&job, new)
			changed |= 1 << i
		}
	}
	job.Status = new.Status
	if !equalGrantable(&job, new) {
		return nil
	}
	return &Decision{Outcome: Allow, Job: &job, snapshot: s, user: user, changedCommon: changed}
}

// equalGrantable reports whether all fields that a policy can grant are semantically equal.
func equalGrantable(a, b *batch.Job) bool {
	return a.GenerateName == b.GenerateName &&
		maps.Equal(a.Labels, b.Labels) &&
		maps.Equal(a.Annotations, b.Annotations) &&
		slices.Equal(a.Finalizers, b.Finalizers) &&
		equalLists(a.OwnerReferences, b.OwnerReferences, equalOwnerReference) &&
		equalJobSpec(&a.Spec, &b.Spec)
}

// commonGrants returns the names of the policies that grant any of the changed common fields
// entirely, sorted.
func (s *Snapshot) commonGrants(changed commonFieldSet, user User) []string {
	var names []string
	s.forSubjects(user, func(r *subjectRules) {
		for i := range commonFields {
			if changed.has(i) {
				names = append(names, r.commonPolicies[i]...)
			}
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// mergeMetadata returns the metadata to store. Fields that a policy can grant come from
// grantable. Server-owned fields come from old if they never change, and from new if the registry
// sets or checks them.
func mergeMetadata(grantable, new, old *batch.Job) metav1.ObjectMeta {
	meta := new.ObjectMeta
	meta.SelfLink = old.SelfLink
	meta.CreationTimestamp = old.CreationTimestamp
	meta.DeletionTimestamp = old.DeletionTimestamp
	meta.DeletionGracePeriodSeconds = old.DeletionGracePeriodSeconds
	meta.GenerateName = grantable.GenerateName
	meta.Labels = grantable.Labels
	meta.Annotations = grantable.Annotations
	meta.Finalizers = grantable.Finalizers
	meta.OwnerReferences = grantable.OwnerReferences
	return meta
}
