// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

var (
	ordinaryUser      = User{Name: "alice"}
	garbageCollector  = User{Name: "system:serviceaccount:kube-system:generic-garbage-collector"}
	controllerManager = User{Name: "system:kube-controller-manager"}
	someTime          = metav1.Date(2020, time.January, 2, 3, 4, 5, 0, time.UTC)
)

// allowedChanges are updates that the bootstrap policies allow. keep is the change to store, if
// it differs from the change that was sent.
var allowedChanges = map[string]struct {
	user User
	send func(*batchv1.Job)
	keep func(*batchv1.Job)
}{
	"no change":                {send: func(*batchv1.Job) {}},
	"label changed":            {send: func(j *batchv1.Job) { j.Labels["app"] = "x" }},
	"label added":              {send: func(j *batchv1.Job) { j.Labels["new"] = "" }},
	"all labels removed":       {send: func(j *batchv1.Job) { j.Labels = nil }},
	"parallelism":              {send: func(j *batchv1.Job) { j.Spec.Parallelism = ptr.To[int32](9) }},
	"parallelism removed":      {send: func(j *batchv1.Job) { j.Spec.Parallelism = nil }},
	"completions":              {send: func(j *batchv1.Job) { j.Spec.Completions = ptr.To[int32](9) }},
	"completions removed":      {send: func(j *batchv1.Job) { j.Spec.Completions = nil }},
	"selector label":           {send: func(j *batchv1.Job) { j.Spec.Selector.MatchLabels["a"] = "b" }},
	"selector removed":         {send: func(j *batchv1.Job) { j.Spec.Selector = nil }},
	"status":                   {send: func(j *batchv1.Job) { j.Status = batchv1.JobStatus{Active: 1} }},
	"name":                     {send: func(j *batchv1.Job) { j.Name = "x" }},
	"namespace":                {send: func(j *batchv1.Job) { j.Namespace = "x" }},
	"uid":                      {send: func(j *batchv1.Job) { j.UID = "x" }},
	"resourceVersion":          {send: func(j *batchv1.Job) { j.ResourceVersion = "1" }},
	"resourceVersion not sent": {send: func(j *batchv1.Job) { j.ResourceVersion = "" }},
	"generation":               {send: func(j *batchv1.Job) { j.Generation = 7 }},
	"managedFields": {
		send: func(j *batchv1.Job) { j.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}} },
	},
	"creationTimestamp":   {send: func(j *batchv1.Job) { j.CreationTimestamp = someTime }, keep: noChange},
	"selfLink":            {send: func(j *batchv1.Job) { j.SelfLink = "/x" }, keep: noChange},
	"deletionTimestamp":   {send: func(j *batchv1.Job) { j.DeletionTimestamp = &someTime }, keep: noChange},
	"deletionGracePeriod": {send: func(j *batchv1.Job) { j.DeletionGracePeriodSeconds = ptr.To[int64](1) }, keep: noChange},
	"all updatable fields": {send: func(j *batchv1.Job) {
		j.Labels = map[string]string{"x": "y"}
		j.Spec.Parallelism, j.Spec.Completions = ptr.To[int32](0), ptr.To[int32](1)
		j.Spec.Selector = &metav1.LabelSelector{}
	}},
	"finalizers by the garbage collector": {
		user: garbageCollector,
		send: func(j *batchv1.Job) { j.Finalizers = j.Finalizers[:1] },
	},
	"owners by the garbage collector": {
		user: garbageCollector,
		send: func(j *batchv1.Job) { j.OwnerReferences = nil },
	},
	"finalizers and owners by kube-controller-manager": {
		user: controllerManager,
		send: func(j *batchv1.Job) { j.Finalizers, j.OwnerReferences = []string{"c"}, nil },
	},
	"finalizers reordered by the garbage collector": {
		user: garbageCollector,
		send: func(j *batchv1.Job) { j.Finalizers[0], j.Finalizers[1] = j.Finalizers[1], j.Finalizers[0] },
	},
}

func noChange(*batchv1.Job) {}

func TestEvaluate_AllowedChanges(t *testing.T) {
	for name, tc := range allowedChanges {
		t.Run(name, func(t *testing.T) {
			user := tc.user
			if user.Name == "" {
				user = ordinaryUser
			}
			keep := tc.keep
			if keep == nil {
				keep = tc.send
			}
			new, old := update(t, tc.send)
			byPath := evaluate(t, bootstrap, new, old, user, nil)
			fast := bootstrap.evaluateFast(new, old, user)
			if byPath.Outcome != Allow || fast == nil {
				t.Fatalf("the update is not allowed: %s, denied paths %s", byPath.Outcome, byPath.DeniedPaths())
			}
			want, _ := update(t, keep)
			if diff := cmp.Diff(want, fast.Job); diff != "" {
				t.Errorf("the Job to store by the fast path (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, byPath.Job); diff != "" {
				t.Errorf("the Job to store by evaluating paths (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvaluate_KeepsStoredFormOfQuantities(t *testing.T) {
	new, old := update(t, func(j *batchv1.Job) {
		j.Labels["app"] = "x"
		requests := j.Spec.Template.Spec.Containers[0].Resources.Requests
		requests[corev1.ResourceMemory] = resource.MustParse("1073741824")
		requests[corev1.ResourceCPU] = resource.MustParse("0.5")
		j.Spec.Template.Spec.Volumes[0].EmptyDir.SizeLimit = ptr.To(resource.MustParse("1024Mi"))
	})
	d := evaluate(t, bootstrap, new, old, ordinaryUser, nil)
	if d.Outcome != Allow {
		t.Fatalf("denied paths: %s", d.DeniedPaths())
	}
	got := v1Job(t, d.Job)
	requests := got.Spec.Template.Spec.Containers[0].Resources.Requests
	limit := got.Spec.Template.Spec.Volumes[0].EmptyDir.SizeLimit
	for name, q := range map[string]struct{ got, want string }{
		"memory":    {requests.Memory().String(), "1Gi"},
		"cpu":       {requests.Cpu().String(), "500m"},
		"sizeLimit": {limit.String(), "1Gi"},
	} {
		if q.got != q.want {
			t.Errorf("%s is stored as %s, want %s", name, q.got, q.want)
		}
	}
	if got.Labels["app"] != "x" {
		t.Error("the label did not change")
	}
}

func TestEvaluate_NilEqualsEmpty(t *testing.T) {
	type side = func(*batchv1.Job)
	for name, tc := range map[string]struct{ null, empty side }{
		"annotations": {
			null:  func(j *batchv1.Job) { j.Annotations = nil },
			empty: func(j *batchv1.Job) { j.Annotations = map[string]string{} },
		},
		"finalizers": {
			null:  func(j *batchv1.Job) { j.Finalizers = nil },
			empty: func(j *batchv1.Job) { j.Finalizers = []string{} },
		},
		"owners": {
			null:  func(j *batchv1.Job) { j.OwnerReferences = nil },
			empty: func(j *batchv1.Job) { j.OwnerReferences = []metav1.OwnerReference{} },
		},
		"list in the spec": {
			null:  func(j *batchv1.Job) { j.Spec.Template.Spec.Tolerations = nil },
			empty: func(j *batchv1.Job) { j.Spec.Template.Spec.Tolerations = []corev1.Toleration{} },
		},
		"map in the spec": {
			null:  func(j *batchv1.Job) { j.Spec.Template.Spec.NodeSelector = nil },
			empty: func(j *batchv1.Job) { j.Spec.Template.Spec.NodeSelector = map[string]string{} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sides := range []struct{ sent, stored side }{{tc.null, tc.empty}, {tc.empty, tc.null}} {
				new, _ := update(t, sides.sent)
				old, _ := update(t, sides.stored)
				d := evaluate(t, bootstrap, new, old, ordinaryUser, nil)
				if d.Outcome != Allow {
					t.Fatalf("denied paths: %s", d.DeniedPaths())
				}
				if !reflect.DeepEqual(d.Job, old) {
					t.Errorf("evaluating paths does not keep the stored form (-stored +got):\n%s", cmp.Diff(old, d.Job))
				}
				if fast := bootstrap.evaluateFast(new, old, ordinaryUser); fast == nil || !reflect.DeepEqual(fast.Job, old) {
					t.Errorf("the fast path does not keep the stored form (-stored +got):\n%s", cmp.Diff(old, fast.Job))
				}
			}
		})
	}
}

func TestEvaluate_DoesNotModifyArguments(t *testing.T) {
	check := func(t *testing.T, send func(*batchv1.Job), user User) {
		new, old := update(t, send)
		newCopy, oldCopy := new.DeepCopy(), old.DeepCopy()
		evaluate(t, bootstrap, new, old, user, nil)
		if diff := cmp.Diff(newCopy, new); diff != "" {
			t.Errorf("Evaluate modifies new:\n%s", diff)
		}
		if diff := cmp.Diff(oldCopy, old); diff != "" {
			t.Errorf("Evaluate modifies old:\n%s", diff)
		}
	}
	for name, tc := range allowedChanges {
		t.Run(name, func(t *testing.T) { check(t, tc.send, tc.user) })
	}
	for name, tc := range deniedChanges {
		t.Run(name, func(t *testing.T) { check(t, tc.send, ordinaryUser) })
	}
}
