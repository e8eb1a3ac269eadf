package fieldpolicy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
)

func TestRefusedNamesEveryChangedPath(t *testing.T) {
	for name, tc := range refusedChanges {
		t.Run(name, func(t *testing.T) {
			new, old := update(t, tc.send)
			if diff := cmp.Diff(tc.want, verdict(t, new, old, anyone)); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusedSortsAllPathsOfAnUpdate(t *testing.T) {
	new, old := update(t, func(j *batchv1.Job) {
		for name, tc := range refusedChanges {
			switch name {
			case "scalar of the spec", "generateName", "image", "annotation changed", "toleration", "struct added":
				tc.send(j)
			}
		}
	})
	want := []Path{
		`metadata.annotations["example.com/ticket"]`,
		"metadata.generateName",
		"spec.backoffLimit",
		"spec.successPolicy",
		`spec.template.spec.containers[name="main"].image`,
		"spec.template.spec.tolerations",
	}
	if diff := cmp.Diff(want, verdict(t, new, old, anyone)); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestOnlyTheGarbageCollectorChangesFinalizersAndOwners(t *testing.T) {
	send := func(j *batchv1.Job) { j.Finalizers, j.OwnerReferences = nil, nil }
	all := []Path{
		`metadata.finalizers["example.com/a"]`,
		`metadata.finalizers["example.com/b"]`,
		`metadata.ownerReferences[uid="c0ffee"]`,
	}
	for name, want := range map[string][]Path{
		"":             all,
		"alice":        all,
		"system:admin": all,
		"system:serviceaccount:kube-system:job-controller":             all,
		"system:serviceaccount:default:generic-garbage-collector":      all,
		"system:serviceaccount:kube-system:generic-garbage-collector2": all,
		collector.Name:    nil,
		collectorOld.Name: nil,
	} {
		t.Run(name, func(t *testing.T) {
			new, old := update(t, send)
			if diff := cmp.Diff(want, verdict(t, new, old, User{Name: name})); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheGarbageCollectorChangesNothingElse(t *testing.T) {
	for name, tc := range refusedChanges {
		want := slices.DeleteFunc(slices.Clone(tc.want), func(p Path) bool {
			return p.within([]string{"metadata.finalizers", "metadata.ownerReferences"})
		})
		t.Run(name, func(t *testing.T) {
			new, old := update(t, tc.send)
			if diff := cmp.Diff(want, verdict(t, new, old, collector), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithinIsAboutWholeNames(t *testing.T) {
	for path, want := range map[Path]bool{
		"spec.selector":                    true,
		"spec.selector.matchLabels":        true,
		`spec.selector["x"]`:               true,
		"spec.selectorOfAnother":           false,
		"spec":                             false,
		"spec.template.spec.selector":      false,
		`metadata.labels["spec.selector"]`: false,
	} {
		if got := path.within([]string{"spec.selector"}); got != want {
			t.Errorf("%s is within spec.selector: %t, want %t", path, got, want)
		}
	}
}
