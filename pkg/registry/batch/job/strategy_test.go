// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/operation"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
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

func TestStrategy_Update(t *testing.T) {
	for name, tc := range map[string]struct {
		user       string
		send, keep jobChange // keep is the change to store, by default send
		want       []string
		generation int64 // the stored Job has 1
	}{
		"labels":      {send: func(j *batch.Job) { j.Labels["a"] = "b" }, generation: 1},
		"parallelism": {send: parallelism(3), generation: 2},
		"completions": {send: completions(3), generation: 2},
		"no change":   {send: func(*batch.Job) {}, generation: 1},
		"server-owned fields": {
			send: func(j *batch.Job) {
				j.Generation = 9
				j.DeletionTimestamp = &metav1.Time{Time: j.CreationTimestamp.Time}
				j.DeletionGracePeriodSeconds = ptr.To[int64](1)
				j.Status = batch.JobStatus{Active: 7}
			},
			keep:       func(*batch.Job) {},
			generation: 1,
		},
		"reformatted quantity and a label": {
			send: func(j *batch.Job) {
				j.Labels["a"] = "b"
				j.Spec.Template.Spec.Containers[0].Resources.Requests[core.ResourceMemory] = resource.MustParse("1073741824")
			},
			keep:       func(j *batch.Job) { j.Labels["a"] = "b" },
			generation: 1,
		},
		"finalizers by the garbage collector": {
			user: garbageCollector, send: func(j *batch.Job) { j.Finalizers = nil }, generation: 1,
		},
		"finalizers by an ordinary user": {
			user: "alice", send: func(j *batch.Job) { j.Finalizers = nil },
			want: []string{`FieldValueForbidden metadata.finalizers["example.com/a"]`},
		},
		"finalizers without a user": {
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
		// Upstream's validation, declarative or not, does not add errors to a denial.
		"denied and invalid field": {
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
		"denied annotations that are too long": {
			send: func(j *batch.Job) { j.Annotations = map[string]string{"a": strings.Repeat("x", 1<<20)} },
			want: []string{`FieldValueForbidden metadata.annotations["a"]`},
		},
		"updatable but invalid field": {
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
			got := update(t, NewStrategy(bootstrapGate), tc.user, old, tc.send)
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
				t.Errorf("the Job to store (-want +got):\n%s", diff)
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

func TestStatusStrategy_Update(t *testing.T) {
	for name, tc := range map[string]struct {
		user       string
		send, keep jobChange
		want       []string
		detail     string
	}{
		"status": {send: func(j *batch.Job) { j.Status.Active = 2 }},
		"labels": {send: func(j *batch.Job) { j.Labels["a"] = "b" }},
		"status with an ignored spec": {
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
		"finalizers by the garbage collector": {
			user: garbageCollector, send: func(j *batch.Job) { j.Finalizers = nil },
		},
		"invalid status": {
			send: func(j *batch.Job) { j.Status.CompletedIndexes = "0" },
			want: []string{"FieldValueInvalid status.completedIndexes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			old := storedJob(t)
			got := update(t, NewStatusStrategy(bootstrapGate), tc.user, old, tc.send)
			if diff := cmp.Diff(tc.want, causes(t, got.err)); diff != "" {
				t.Fatalf("causes (-want +got):\n%s\n%v", diff, got.err)
			}
			if got.err != nil {
				if !strings.Contains(got.err.Error(), tc.detail) {
					t.Errorf("error %v, want %s", got.err, tc.detail)
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
				t.Errorf("the Job to store (-want +got):\n%s", diff)
			}
		})
	}
}

// The store, server-side apply and rest.BeforeUpdate assert these interfaces and silently do
// without a missing one.
func TestStrategies_ImplementUpstreamInterfaces(t *testing.T) {
	interfaces := []reflect.Type{
		reflect.TypeFor[rest.RESTUpdateStrategy](),
		reflect.TypeFor[rest.ResetFieldsStrategy](),
		reflect.TypeFor[rest.DeclarativeValidationStrategy](),
		reflect.TypeFor[rest.UpdateResetFieldsStrategy](),
	}
	for strategy, wrapped := range map[any]any{NewStrategy(bootstrapGate): upstream.Strategy, NewStatusStrategy(bootstrapGate): upstream.StatusStrategy} {
		for _, i := range interfaces {
			if reflect.TypeOf(wrapped).Implements(i) && !reflect.TypeOf(strategy).Implements(i) {
				t.Errorf("%T does not implement %s, but %T does", strategy, i, wrapped)
			}
		}
		reset, want := strategy.(rest.ResetFieldsStrategy).GetResetFields(), wrapped.(rest.ResetFieldsStrategy).GetResetFields()
		if len(reset) == 0 || !reflect.DeepEqual(reset, want) {
			t.Errorf("%T resets %v, want %v", strategy, reset, want)
		}
	}
}

// A strategy denies an update that it has not evaluated, whatever it evaluated before.
func TestStrategies_DenyUpdatesThatWereNotEvaluated(t *testing.T) {
	ctx := requestContext("alice", &recorder{})
	for name, newStrategy := range map[string]func(*Gate) evaluatingStrategy{
		"jobs":   func(g *Gate) evaluatingStrategy { return NewStrategy(g) },
		"status": func(g *Gate) evaluatingStrategy { return NewStatusStrategy(g) },
	} {
		old := storedJob(t)
		allowed, denied := old.DeepCopy(), old.DeepCopy()
		allowed.Labels["a"] = "b"
		denied.Annotations = map[string]string{"a": "b"}
		expectInternalError := func(what string, errs field.ErrorList) {
			t.Helper()
			if len(errs) != 1 || errs[0].Type != field.ErrorTypeInternal {
				t.Errorf("%s: %s: %v, want one internal error", name, what, errs)
			}
		}
		s := newStrategy(bootstrapGate)
		expectInternalError("new strategy", s.ValidateUpdate(ctx, allowed, old))
		s.PrepareForUpdate(ctx, allowed, old)
		if errs := s.ValidateUpdate(ctx, allowed, old); len(errs) > 0 {
			t.Errorf("%s: evaluated Job: %v", name, errs)
		}
		expectInternalError("another Job", s.ValidateUpdate(ctx, denied, old))
		expectInternalError("another Job, declaratively", s.ValidateDeclaratively(ctx, denied, old, nil, operation.Update, rest.DeclarativeValidationConfig{}))
		s.Reset()
		expectInternalError("after Reset", s.ValidateUpdate(ctx, allowed, old))

		shared := newStrategy(nil)
		sent := allowed.DeepCopy()
		shared.PrepareForUpdate(ctx, sent, old)
		expectInternalError("without a gate", shared.ValidateUpdate(ctx, sent, old))
	}
}

type evaluatingStrategy interface {
	rest.RESTUpdateStrategy
	rest.DeclarativeValidationStrategy
	Reset()
	Publish(ctx context.Context, options *metav1.UpdateOptions, err error)
}

// The store evaluates an update again if it conflicts with another one.
func TestStrategy_LastEvaluationCounts(t *testing.T) {
	ctx := requestContext("alice", &recorder{})
	strategy := NewStrategy(bootstrapGate)
	for _, tc := range []struct {
		send jobChange
		want []string
	}{
		{parallelism(3), nil},
		{image("x"), []string{`FieldValueForbidden spec.template.spec.containers[name="main"].image`}},
		{parallelism(4), nil},
	} {
		old := storedJob(t)
		sent := old.DeepCopy()
		tc.send(sent)
		err := rest.BeforeUpdate(strategy, ctx, sent, old)
		if diff := cmp.Diff(tc.want, causes(t, err)); diff != "" {
			t.Errorf("causes (-want +got):\n%s", diff)
		}
	}
}
