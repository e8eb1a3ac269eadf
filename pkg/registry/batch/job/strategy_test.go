package job

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/kubernetes/pkg/apis/core"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/utils/ptr"
)

const garbageCollector = "system:serviceaccount:kube-system:generic-garbage-collector"

func image(name string) jobChange {
	return func(j *batch.Job) { j.Spec.Template.Spec.Containers[0].Image = name }
}

func TestUpdateOfAJobIsGated(t *testing.T) {
	for name, tc := range map[string]struct {
		user       string
		send, keep jobChange // keep is send where it is nil
		want       []string
		generation int64 // 1 is that of the stored Job
	}{
		"labels":      {send: func(j *batch.Job) { j.Labels["a"] = "b" }, generation: 1},
		"parallelism": {send: parallelism(3), generation: 2},
		"completions": {send: completions(3), generation: 2},
		"nothing":     {send: func(*batch.Job) {}, generation: 1},
		"what the server owns": {
			send: func(j *batch.Job) {
				j.Generation = 9
				j.DeletionTimestamp = &metav1.Time{Time: j.CreationTimestamp.Time}
				j.DeletionGracePeriodSeconds = ptr.To[int64](1)
				j.Status = batch.JobStatus{Active: 7}
			},
			keep:       func(*batch.Job) {},
			generation: 1,
		},
		"a quantity spelled differently, and a label": {
			send: func(j *batch.Job) {
				j.Labels["a"] = "b"
				j.Spec.Template.Spec.Containers[0].Resources.Requests[core.ResourceMemory] = resource.MustParse("1073741824")
			},
			keep:       func(j *batch.Job) { j.Labels["a"] = "b" },
			generation: 1,
		},
		"finalizers, by the garbage collector": {
			user: garbageCollector, send: func(j *batch.Job) { j.Finalizers = nil }, generation: 1,
		},
		"finalizers, by anyone": {
			user: "alice", send: func(j *batch.Job) { j.Finalizers = nil },
			want: []string{`FieldValueForbidden metadata.finalizers["example.com/a"]`},
		},
		"finalizers, by nobody known": {
			send: func(j *batch.Job) { j.Finalizers = nil },
			want: []string{`FieldValueForbidden metadata.finalizers["example.com/a"]`},
		},
		"several fields": {
			send: both(image("x"), parallelism(3), func(j *batch.Job) {
				j.Annotations = map[string]string{"b": "", "a": ""}
				j.Spec.Suspend = ptr.To(true)
			}),
			want: []string{
				`FieldValueForbidden metadata.annotations["a"]`,
				`FieldValueForbidden metadata.annotations["b"]`,
				"FieldValueForbidden spec.suspend",
				`FieldValueForbidden spec.template.spec.containers[name="main"].image`,
			},
		},
		// Upstream's rules, declarative ones included, have no say about a change that
		// is refused, nor about what is sent besides.
		"a field that is refused, and invalid": {
			send: both(parallelism(-1), completions(-1), func(j *batch.Job) {
				j.Spec.BackoffLimit = ptr.To[int32](-1)
				j.Spec.Scheduling = &batch.JobSchedulingConfiguration{}
				j.Spec.MaxFailedIndexes = ptr.To[int32](1)
			}),
			want: []string{
				"FieldValueForbidden spec.backoffLimit",
				"FieldValueForbidden spec.maxFailedIndexes",
				"FieldValueForbidden spec.scheduling",
			},
		},
		"annotations that are refused, and too long": {
			send: func(j *batch.Job) { j.Annotations = map[string]string{"a": strings.Repeat("x", 1<<20)} },
			want: []string{`FieldValueForbidden metadata.annotations["a"]`},
		},
		"a field that is allowed, and invalid": {
			send: parallelism(-1),
			want: []string{"FieldValueInvalid spec.parallelism"},
		},
		"invalid labels": {
			send: func(j *batch.Job) { j.Labels["a b"] = "" },
			want: []string{"FieldValueInvalid metadata.labels"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			old := storedJob(t)
			old.Status.Active = 1
			got := update(t, gated, tc.user, old, tc.send)
			if diff := cmp.Diff(tc.want, causes(t, got.err)); diff != "" {
				t.Fatalf("causes (-want +got):\n%s\n%v", diff, got.err)
			}
			if got.err != nil {
				return
			}
			want := old.DeepCopy()
			if tc.keep != nil {
				tc.keep(want)
			} else {
				tc.send(want)
			}
			want.Generation = tc.generation
			if diff := cmp.Diff(want, got.stored); diff != "" {
				t.Errorf("the Job to store is not as expected (-want +got):\n%s", diff)
			}
			if want, got := memory(want), memory(got.stored); want != got {
				t.Errorf("the memory is stored as %s, want %s", got, want)
			}
		})
	}
}

func memory(j *batch.Job) string {
	q := j.Spec.Template.Spec.Containers[0].Resources.Requests[core.ResourceMemory]
	return q.String()
}

func TestUpdateOfAStatusIsGated(t *testing.T) {
	for name, tc := range map[string]struct {
		user       string
		send, keep jobChange
		want       []string
		detail     string
	}{
		"status": {send: func(j *batch.Job) { j.Status.Active = 2 }},
		"labels": {send: func(j *batch.Job) { j.Labels["a"] = "b" }},
		"status, with a spec that is ignored": {
			send: both(image("x"), parallelism(9), completions(9), func(j *batch.Job) { j.Status.Active = 2 }),
			keep: func(j *batch.Job) { j.Status.Active = 2 },
		},
		"generation and deletion": {
			send: func(j *batch.Job) {
				j.Generation = 9
				j.DeletionTimestamp = &metav1.Time{Time: j.CreationTimestamp.Time}
			},
			keep: func(*batch.Job) {},
		},
		"annotations and finalizers": {
			send: func(j *batch.Job) {
				j.Status.Active = 2
				j.Annotations = map[string]string{"a": "b"}
				j.Finalizers = nil
			},
			want:   []string{`FieldValueForbidden metadata.annotations["a"]`, `FieldValueForbidden metadata.finalizers["example.com/a"]`},
			detail: "may not be updated; updatable fields are metadata.labels, status",
		},
		"finalizers, by the garbage collector": {
			user: garbageCollector, send: func(j *batch.Job) { j.Finalizers = nil },
		},
		"an invalid status": {
			send: func(j *batch.Job) { j.Status.CompletedIndexes = "0" },
			want: []string{"FieldValueInvalid status.completedIndexes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			old := storedJob(t)
			got := update(t, gatedStatus, tc.user, old, tc.send)
			if diff := cmp.Diff(tc.want, causes(t, got.err)); diff != "" {
				t.Fatalf("causes (-want +got):\n%s\n%v", diff, got.err)
			}
			if got.err != nil {
				if !strings.Contains(got.err.Error(), tc.detail) {
					t.Errorf("the message is\n%v\nwant in it\n%s", got.err, tc.detail)
				}
				return
			}
			want := old.DeepCopy()
			if tc.keep != nil {
				tc.keep(want)
			} else {
				tc.send(want)
			}
			if diff := cmp.Diff(want, got.stored); diff != "" {
				t.Errorf("the Job to store is not as expected (-want +got):\n%s", diff)
			}
		})
	}
}

// The store, server-side apply and rest.BeforeUpdate ask for these by type assertion, and
// go without where the answer is no.
func TestStrategiesImplementWhatUpstreamsDo(t *testing.T) {
	interfaces := []reflect.Type{
		reflect.TypeFor[rest.RESTUpdateStrategy](),
		reflect.TypeFor[rest.ResetFieldsStrategy](),
		reflect.TypeFor[rest.DeclarativeValidationStrategy](),
		reflect.TypeFor[rest.UpdateResetFieldsStrategy](),
	}
	for gate, wrapped := range map[any]any{gated: upstream.Strategy, gatedStatus: upstream.StatusStrategy} {
		for _, i := range interfaces {
			if reflect.TypeOf(wrapped).Implements(i) && !reflect.TypeOf(gate).Implements(i) {
				t.Errorf("%T does not implement %s, which %T does", gate, i, wrapped)
			}
		}
		reset, want := gate.(rest.ResetFieldsStrategy).GetResetFields(), wrapped.(rest.ResetFieldsStrategy).GetResetFields()
		if len(reset) == 0 || !reflect.DeepEqual(reset, want) {
			t.Errorf("%T resets %v, want %v", gate, reset, want)
		}
	}
}
