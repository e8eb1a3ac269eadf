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
	anyone       = User{Name: "alice"}
	collector    = User{Name: "system:serviceaccount:kube-system:generic-garbage-collector"}
	collectorOld = User{Name: "system:kube-controller-manager"}
	someTime     = metav1.Date(2020, time.January, 2, 3, 4, 5, 0, time.UTC)
)

// allowedChanges maps what an update sends to what of it is kept, nil for all of it.
var allowedChanges = map[string]struct {
	user User
	send func(*batchv1.Job)
	keep func(*batchv1.Job)
}{
	"nothing":                  {send: func(*batchv1.Job) {}},
	"a label changed":          {send: func(j *batchv1.Job) { j.Labels["app"] = "x" }},
	"a label added":            {send: func(j *batchv1.Job) { j.Labels["new"] = "" }},
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
	"creationTimestamp":   {send: func(j *batchv1.Job) { j.CreationTimestamp = someTime }, keep: nothing},
	"selfLink":            {send: func(j *batchv1.Job) { j.SelfLink = "/x" }, keep: nothing},
	"deletionTimestamp":   {send: func(j *batchv1.Job) { j.DeletionTimestamp = &someTime }, keep: nothing},
	"deletionGracePeriod": {send: func(j *batchv1.Job) { j.DeletionGracePeriodSeconds = ptr.To[int64](1) }, keep: nothing},
	"all of the allow-list at once": {send: func(j *batchv1.Job) {
		j.Labels = map[string]string{"x": "y"}
		j.Spec.Parallelism, j.Spec.Completions = ptr.To[int32](0), ptr.To[int32](1)
		j.Spec.Selector = &metav1.LabelSelector{}
	}},
	"finalizers, by the garbage collector": {
		user: collector,
		send: func(j *batchv1.Job) { j.Finalizers = j.Finalizers[:1] },
	},
	"owners, by the garbage collector": {
		user: collector,
		send: func(j *batchv1.Job) { j.OwnerReferences = nil },
	},
	"finalizers and owners, by kube-controller-manager": {
		user: collectorOld,
		send: func(j *batchv1.Job) { j.Finalizers, j.OwnerReferences = []string{"c"}, nil },
	},
	"order of finalizers, by the garbage collector": {
		user: collector,
		send: func(j *batchv1.Job) { j.Finalizers[0], j.Finalizers[1] = j.Finalizers[1], j.Finalizers[0] },
	},
}

func nothing(*batchv1.Job) {}

func TestKeepLetsOnlyAllowedFieldsChange(t *testing.T) {
	for name, tc := range allowedChanges {
		t.Run(name, func(t *testing.T) {
			user := tc.user
			if user.Name == "" {
				user = anyone
			}
			keep := tc.keep
			if keep == nil {
				keep = tc.send
			}
			new, old := update(t, tc.send)
			if refused := verdict(t, new, old, user); len(refused) > 0 {
				t.Fatalf("refused: %q", refused)
			}
			kept, _ := bootstrap.Keep(new, old, user)
			want, _ := update(t, keep)
			if diff := cmp.Diff(want, kept); diff != "" {
				t.Errorf("the Job to store is not as expected (-want +got):\n%s", diff)
			}
			judged := bootstrap.Judge(v1Job(t, new), v1Job(t, old), user, nil)
			if diff := cmp.Diff(want, settled(t, judged, new, old)); diff != "" {
				t.Errorf("the Job of the verdict is not as expected (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeepTakesSpellingOfQuantitiesFromTheStoredJob(t *testing.T) {
	new, old := update(t, func(j *batchv1.Job) {
		j.Labels["app"] = "x"
		requests := j.Spec.Template.Spec.Containers[0].Resources.Requests
		requests[corev1.ResourceMemory] = resource.MustParse("1073741824")
		requests[corev1.ResourceCPU] = resource.MustParse("0.5")
		j.Spec.Template.Spec.Volumes[0].EmptyDir.SizeLimit = ptr.To(resource.MustParse("1024Mi"))
	})
	if refused := verdict(t, new, old, anyone); len(refused) > 0 {
		t.Fatalf("refused: %q", refused)
	}
	kept, _ := bootstrap.Keep(new, old, anyone)
	got := v1Job(t, kept)
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

func TestKeepTakesNilAndEmptyForEqual(t *testing.T) {
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
		"a list in the spec": {
			null:  func(j *batchv1.Job) { j.Spec.Template.Spec.Tolerations = nil },
			empty: func(j *batchv1.Job) { j.Spec.Template.Spec.Tolerations = []corev1.Toleration{} },
		},
		"a map in the spec": {
			null:  func(j *batchv1.Job) { j.Spec.Template.Spec.NodeSelector = nil },
			empty: func(j *batchv1.Job) { j.Spec.Template.Spec.NodeSelector = map[string]string{} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sides := range []struct{ sent, stored side }{{tc.null, tc.empty}, {tc.empty, tc.null}} {
				new, _ := update(t, sides.sent)
				old, _ := update(t, sides.stored)
				if refused := verdict(t, new, old, anyone); len(refused) > 0 {
					t.Errorf("refused: %q", refused)
				}
				if kept, _ := bootstrap.Keep(new, old, anyone); kept != nil && !reflect.DeepEqual(kept, old) {
					t.Errorf("the stored form is not kept (-stored +kept):\n%s", cmp.Diff(old, kept))
				}
			}
		})
	}
}

func TestKeepAndJudgeChangeNoArgument(t *testing.T) {
	check := func(t *testing.T, send func(*batchv1.Job), user User) {
		new, old := update(t, send)
		newV1, oldV1 := v1Job(t, new), v1Job(t, old)
		newCopy, oldCopy, newV1Copy, oldV1Copy := new.DeepCopy(), old.DeepCopy(), newV1.DeepCopy(), oldV1.DeepCopy()
		bootstrap.Keep(new, old, user)
		bootstrap.Judge(newV1, oldV1, user, nil)
		for _, arg := range []struct {
			name        string
			was, is     any
			whoseChange string
		}{
			{"new", newCopy, new, "Keep"}, {"old", oldCopy, old, "Keep"},
			{"new", newV1Copy, newV1, "Judge"}, {"old", oldV1Copy, oldV1, "Judge"},
		} {
			if !reflect.DeepEqual(arg.was, arg.is) {
				t.Errorf("%s changes %s:\n%s", arg.whoseChange, arg.name, cmp.Diff(arg.was, arg.is))
			}
		}
	}
	for name, tc := range allowedChanges {
		t.Run(name, func(t *testing.T) { check(t, tc.send, tc.user) })
	}
	for name, tc := range refusedChanges {
		t.Run(name, func(t *testing.T) { check(t, tc.send, anyone) })
	}
}
