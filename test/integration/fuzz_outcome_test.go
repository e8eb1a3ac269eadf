// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/mvccpb"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/utils/ptr"
)

// outcome is the result of an attack. Its checks compare the stored Jobs as JSON and share no code
// with the gate.
type outcome struct {
	target         *target
	user           *attacker
	response       *response
	status, dryRun bool

	written []*mvccpb.KeyValue
	deleted int64 // number of deleted keys
}

func (o *outcome) check(t *testing.T) {
	t.Helper()
	before := o.target
	switch {
	case len(o.written) == 0 && o.deleted == 0:
		o.checkReturnedJob(t, before.job, before.revision)
		return
	case o.response.code != http.StatusOK || o.dryRun:
		t.Errorf("failed update or dry run wrote keys %v and deleted %d keys", o.written, o.deleted)
		return
	case len(o.written) == 0 && o.deleted == 1 && o.mayDelete() && o.user.server.read(t, before.key).value == nil:
		return
	case len(o.written) != 1 || o.deleted != 0 || string(o.written[0].Key) != before.key || o.written[0].Version != before.version+1:
		t.Errorf("more than one write of the Job: wrote keys %v and deleted %d keys", o.written, o.deleted)
		return
	}
	after := stored{value: o.written[0].Value}.job(t)
	o.checkReturnedJob(t, after, o.written[0].ModRevision)
	o.checkChange(t, before.job, after)
	if diff := cmp.Diff(o.immutablePart(before.tree), o.immutablePart(tree(t, after))); diff != "" {
		t.Errorf("update changed fields that are not updatable (-before +after):\n%s", diff)
	}
}

// mayDelete reports whether the update may finish a deletion. The garbage collector may, by
// removing the last finalizer.
func (o *outcome) mayDelete() bool {
	return o.target.job.DeletionTimestamp != nil && strings.HasSuffix(o.user.name, ":generic-garbage-collector")
}

// checkReturnedJob compares the returned Job with the stored one.
func (o *outcome) checkReturnedJob(t *testing.T, job *batchv1.Job, revision int64) {
	t.Helper()
	returned := &batchv1.Job{}
	if o.response.code != http.StatusOK || o.dryRun || json.Unmarshal(o.response.body, returned) != nil || returned.Kind != "Job" {
		return
	}
	want := job.DeepCopy()
	legacyscheme.Scheme.Default(want) // like the server when it reads a Job
	want.TypeMeta, want.SelfLink, want.ResourceVersion = returned.TypeMeta, returned.SelfLink, strconv.FormatInt(revision, 10)
	if got, stored := tree(t, returned), tree(t, want); !reflect.DeepEqual(got, stored) {
		t.Errorf("returned Job differs from stored Job (-stored +returned):\n%s", cmp.Diff(stored, got))
	}
}

// checkChange checks the rules for changes of updatable fields.
func (o *outcome) checkChange(t *testing.T, before, after *batchv1.Job) {
	t.Helper()
	generation := before.Generation
	if !o.status && !reflect.DeepEqual(tree(t, before)["spec"], tree(t, after)["spec"]) {
		generation++
	}
	if after.Generation != generation {
		t.Errorf("generation is %d, want %d", after.Generation, generation)
	}
	if labels, uid := after.Spec.Selector.MatchLabels, string(after.UID); !ptr.Deref(after.Spec.ManualSelector, false) &&
		labels[batchv1.ControllerUidLabel] != uid && labels["controller-uid"] != uid { // legacy label
		t.Errorf("generated selector lost the Job's UID: %v", after.Spec.Selector)
	}
	if ptr.Deref(after.Spec.ManualSelector, false) && len(after.Spec.Selector.MatchLabels)+len(after.Spec.Selector.MatchExpressions) == 0 {
		t.Error("selector matches every Pod")
	}
	if len(before.Status.Conditions) > 0 && !(ptr.Equal(before.Spec.Completions, after.Spec.Completions) && reflect.DeepEqual(before.Spec.Selector, after.Spec.Selector)) {
		t.Error("completions or selector of a finished Job changed")
	}
}

// immutablePart returns a copy of the Job without the fields that the update may change.
func (o *outcome) immutablePart(job map[string]any) map[string]any {
	job = maps.Clone(job)
	metadata := maps.Clone(job["metadata"].(map[string]any))
	job["metadata"] = metadata
	delete(metadata, "labels")
	delete(metadata, "managedFields")
	delete(metadata, "generation")
	spec := maps.Clone(job["spec"].(map[string]any))
	job["spec"] = spec
	if o.status {
		delete(job, "status")
	} else {
		delete(spec, "parallelism")
		delete(spec, "completions")
		delete(spec, "selector")
	}
	for _, grant := range o.user.grants {
		switch parent, field, _ := strings.Cut(grant, "."); {
		case parent == "metadata":
			delete(metadata, field)
		case grant == exampleAnnotationsField:
			metadata["annotations"] = withoutExampleAnnotations(metadata["annotations"])
		case o.status: // the status subresource ignores the spec
		case grant == mainImageField:
			spec["template"] = withoutMainImage(spec["template"])
		default:
			delete(spec, field)
		}
	}
	return job
}

const (
	exampleAnnotationsField = `metadata annotations["example.com/*"]`
	mainImageField          = `spec template.spec.containers[name="main"].image`
)

// withoutExampleAnnotations removes the annotations that the user tuner may change.
func withoutExampleAnnotations(annotations any) any {
	kept := map[string]any{}
	all, _ := annotations.(map[string]any)
	for key, value := range all {
		if !strings.HasPrefix(key, "example.com/") {
			kept[key] = value
		}
	}
	return kept
}

// withoutMainImage removes the image that the user tuner may change from a Pod template.
func withoutMainImage(template any) any {
	copied := maps.Clone(template.(map[string]any))
	spec := maps.Clone(copied["spec"].(map[string]any))
	copied["spec"] = spec
	var containers []any
	for _, c := range spec["containers"].([]any) {
		container := maps.Clone(c.(map[string]any))
		if container["name"] == "main" {
			delete(container, "image")
		}
		containers = append(containers, container)
	}
	spec["containers"] = containers
	return copied
}
