// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"encoding/binary"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/apis/batch"
	batchconversion "k8s.io/kubernetes/pkg/apis/batch/v1"

	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// Outcome is what happens to an update.
type Outcome string

const (
	// Allow stores the update.
	Allow Outcome = "allow"
	// Warn stores the update and sends the client warnings.
	Warn Outcome = "warn"
	// Deny stores nothing.
	Deny Outcome = "deny"
)

// MaxChanges is the maximum number of changed paths of an update that is evaluated path by path. An
// update with more is denied. A Job that a person writes has fewer paths.
const MaxChanges = 10_000

// MaxUpdatableFields is the maximum number of patterns in Decision.UpdatableFields. Policies may grant
// hundreds of thousands.
const MaxUpdatableFields = 13

// Decision is the result of an evaluation.
type Decision struct {
	Outcome Outcome
	// Job is the Job to store: the stored Job with the granted changes. Fields that are
	// semantically equal keep their stored form. The status comes from the request, because only
	// the endpoint knows whether to store it. Job is nil if the update is denied. It shares
	// memory with the arguments of Evaluate.
	Job *batch.Job
	// Changes lists the changed paths, sorted. It is empty if the fast path allowed the update:
	// the user may change each of the changed fields entirely and without a warning.
	Changes []Change
	// TooManyChanges is true if the update changes more than MaxChanges paths. Then it is denied
	// without an evaluation of the paths. Changes has only the field of the first path over the limit.
	TooManyChanges bool
	// UpdatableFields lists the path patterns that the user may change in this Job, sorted, up to
	// MaxUpdatableFields of them. It is only set if the update is denied.
	UpdatableFields []string

	// GrantingPolicies uses these fields if Changes is empty.
	snapshot      *Snapshot
	user          User
	changedCommon commonFieldSet
}

// Change is a change of one path.
type Change struct {
	Path fieldpath.Path
	// Policies are the names of the policies that grant the change, sorted, and empty if none
	// does. If any policy allows the change, policies that warn are left out. The list is shared
	// with other decisions and must not be modified.
	Policies []string
	// Warn is true if only policies with the action Warn grant the change.
	Warn bool
}

// DeniedPaths returns the changed paths that no policy grants.
func (d *Decision) DeniedPaths() []fieldpath.Path {
	return d.paths(func(c Change) bool { return len(c.Policies) == 0 })
}

// WarnedPaths returns the changed paths that only policies with the action Warn grant.
func (d *Decision) WarnedPaths() []fieldpath.Path {
	return d.paths(func(c Change) bool { return c.Warn })
}

func (d *Decision) paths(include func(Change) bool) []fieldpath.Path {
	var paths []fieldpath.Path
	for _, c := range d.Changes {
		if include(c) {
			paths = append(paths, c.Path)
		}
	}
	return paths
}

// GrantingPolicies returns the names of all policies that grant any of the changes, sorted.
// It is computed on each call, since there may be many.
func (d *Decision) GrantingPolicies() []string {
	if d.snapshot != nil {
		return d.snapshot.commonGrants(d.changedCommon, d.user)
	}
	var names []string
	seen := map[*string]bool{} // Changes share their lists.
	for _, c := range d.Changes {
		if len(c.Policies) > 0 && !seen[&c.Policies[0]] {
			seen[&c.Policies[0]] = true
			names = append(names, c.Policies...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Evaluate decides whether a user may update a Job from old to new. It compares semantically:
// nil equals empty, and quantities and times compare by value.
//
// namespaceLabels returns the labels of the Job's namespace, or nil if they are unknown. Then
// only policies that select all namespaces count. Evaluate calls it at most once, and only if a
// policy with a namespaceSelector could apply. Policies select the Job by the labels of old.
//
// An error means that the Jobs could not be compared. The caller must deny the update.
func (s *Snapshot) Evaluate(new, old *batch.Job, user User, namespaceLabels func() labels.Set) (*Decision, error) {
	if d := s.evaluateFast(new, old, user); d != nil {
		return d, nil
	}
	return s.evaluatePaths(new, old, user, namespaceLabels)
}

// evaluatePaths computes the changed paths and evaluates each of them.
func (s *Snapshot) evaluatePaths(new, old *batch.Job, user User, namespaceLabels func() labels.Set) (*Decision, error) {
	newV1, err := toV1(new)
	if err != nil {
		return nil, err
	}
	oldV1, err := toV1(old)
	if err != nil {
		return nil, err
	}
	mergedV1, paths, excess := compare(newV1, oldV1)
	if excess != nil {
		return &Decision{Outcome: Deny, Changes: []Change{{Path: excess.TopLevel()}}, TooManyChanges: true}, nil
	}
	rules := s.rulesFor(user, old.Labels, namespaceLabels)
	d := &Decision{Outcome: Allow, Changes: s.evaluateChanges(paths, rules)}
	for _, change := range d.Changes {
		switch {
		case len(change.Policies) == 0:
			d.Outcome = Deny
		case change.Warn && d.Outcome == Allow:
			d.Outcome = Warn
		}
	}
	if d.Outcome == Deny {
		d.UpdatableFields = firstPatterns(rules, MaxUpdatableFields)
		return d, nil
	}
	d.Job, err = mergedJob(mergedV1, new, old)
	return d, err
}

func toV1(job *batch.Job) (*batchv1.Job, error) {
	converted := &batchv1.Job{}
	if err := batchconversion.Convert_batch_Job_To_v1_Job(job, converted, nil); err != nil {
		return nil, fmt.Errorf("converting the Job to compare it with the stored one: %w", err)
	}
	return converted, nil
}

// mergedJob returns the Job to store for the result of compare.
func mergedJob(merged *batchv1.Job, new, old *batch.Job) (*batch.Job, error) {
	job := &batch.Job{}
	if err := batchconversion.Convert_v1_Job_To_batch_Job(merged, job, nil); err != nil {
		return nil, fmt.Errorf("converting the Job to store it: %w", err)
	}
	job.ObjectMeta = mergeMetadata(job, new, old)
	job.Status = new.Status
	return job, nil
}

// evaluateChanges finds the policies that grant the change of each path. It joins the policies once
// for all paths that the same patterns match. So 10,000 paths and 1,000 policies do not cost 10
// million comparisons.
func (s *Snapshot) evaluateChanges(paths []fieldpath.Path, rules *ruleSet) []Change {
	changes := make([]Change, len(paths))
	known := map[string]Change{} // by the numbers of the patterns; the changes have no path
	var matches []int
	var key []byte
	for i, path := range paths {
		matches = s.patterns.AppendMatches(matches[:0], path)
		key = key[:0]
		for _, number := range matches {
			key = binary.AppendUvarint(key, uint64(number))
		}
		change, ok := known[string(key)]
		if !ok {
			change = s.changeGrantedBy(matches, rules)
			known[string(key)] = change
		}
		change.Path = path
		changes[i] = change
	}
	return changes
}

// changeGrantedBy returns a change, without its path, that the patterns with these numbers match.
func (s *Snapshot) changeGrantedBy(patterns []int, rules *ruleSet) Change {
	var allowing, warning [][]string
	for _, number := range patterns {
		for _, g := range s.grants[number] {
			if !rules.has(g.rule) {
				continue
			}
			if len(g.allowedBy) > 0 {
				allowing = append(allowing, g.allowedBy)
			}
			if len(g.warnedBy) > 0 {
				warning = append(warning, g.warnedBy)
			}
		}
	}
	if len(allowing) > 0 {
		return Change{Policies: union(allowing)}
	}
	return Change{Policies: union(warning), Warn: len(warning) > 0}
}

// union returns the sorted union of sorted lists. The result may share memory with a list.
func union(lists [][]string) []string {
	if len(lists) == 1 {
		return slices.Clip(lists[0])
	}
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

// firstPatterns returns the first patterns of rules in alphabetical order.
func firstPatterns(rules *ruleSet, limit int) []string {
	var first []string
	for _, r := range rules.candidates {
		for _, g := range r.grants {
			text := g.pattern.String()
			i, found := slices.BinarySearch(first, text)
			if i == limit || !rules.has(r) {
				break // the other patterns of the rule come later
			}
			if !found {
				first = slices.Insert(first, i, text)
				first = first[:min(len(first), limit)]
			}
		}
	}
	return first
}
