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

// outcome is what an attack has come to. It is judged by the stored bytes as JSON, and shares
// no code with the gate.
type outcome struct {
	target         *target
	user           *attacker
	response       *response
	status, dryRun bool

	written []*mvccpb.KeyValue
	deleted int64 // keys that are gone
}

func (o *outcome) check(t *testing.T) {
	t.Helper()
	before := o.target
	switch {
	case len(o.written) == 0 && o.deleted == 0:
		o.checkReturnedJob(t, before.job, before.revision)
		return
	case o.response.code != http.StatusOK || o.dryRun:
		t.Errorf("an update that was not made has written: %v, and %d keys are gone", o.written, o.deleted)
		return
	case len(o.written) == 0 && o.deleted == 1 && o.mayDelete() && o.user.server.read(t, before.key).value == nil:
		return
	case len(o.written) != 1 || o.deleted != 0 || string(o.written[0].Key) != before.key || o.written[0].Version != before.version+1:
		t.Errorf("more was written than the Job, once: %v, and %d keys are gone", o.written, o.deleted)
		return
	}
	after := stored{value: o.written[0].Value}.job(t)
	o.checkReturnedJob(t, after, o.written[0].ModRevision)
	o.checkChange(t, before.job, after)
	is, was := tree(t, after), before.tree
	if diff := cmp.Diff(o.immutablePart(was), o.immutablePart(is)); diff != "" {
		t.Errorf("the update has changed what it may not (-before +after):\n%s", diff)
	}
}

// mayDelete reports whether the update may have ended a deletion: the garbage collector's, by
// the removal of the last finalizer.
func (o *outcome) mayDelete() bool {
	return o.target.job.DeletionTimestamp != nil && strings.HasSuffix(o.user.name, ":generic-garbage-collector")
}

// checkReturnedJob compares a Job that was answered with the stored one.
func (o *outcome) checkReturnedJob(t *testing.T, job *batchv1.Job, revision int64) {
	t.Helper()
	answered := &batchv1.Job{}
	if o.response.code != http.StatusOK || o.dryRun || json.Unmarshal(o.response.body, answered) != nil || answered.Kind != "Job" {
		return
	}
	want := job.DeepCopy()
	legacyscheme.Scheme.Default(want) // as the server does when it reads
	want.TypeMeta, want.SelfLink, want.ResourceVersion = answered.TypeMeta, answered.SelfLink, strconv.FormatInt(revision, 10)
	if is, was := tree(t, answered), tree(t, want); !reflect.DeepEqual(is, was) {
		t.Errorf("the answered Job is not the stored one (-stored +answered):\n%s", cmp.Diff(was, is))
	}
}

// checkChange checks what holds for changes of fields that may change.
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
		labels[batchv1.ControllerUidLabel] != uid && labels["controller-uid"] != uid { // the latter is its legacy name
		t.Errorf("the generated selector has lost the Job's UID: %v", after.Spec.Selector)
	}
	if ptr.Deref(after.Spec.ManualSelector, false) && len(after.Spec.Selector.MatchLabels)+len(after.Spec.Selector.MatchExpressions) == 0 {
		t.Error("the selector claims every Pod")
	}
	if len(before.Status.Conditions) > 0 && !(ptr.Equal(before.Spec.Completions, after.Spec.Completions) && reflect.DeepEqual(before.Spec.Selector, after.Spec.Selector)) {
		t.Error("completions or selector of a finished Job have changed")
	}
}

// immutablePart returns the Job without what the update may change.
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
		case o.status: // the spec stays, whatever is granted
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

// withoutExampleAnnotations returns annotations without those that the user tuner may change.
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

// withoutMainImage returns a template without the image that the user tuner may change.
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
