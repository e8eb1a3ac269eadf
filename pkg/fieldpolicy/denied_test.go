// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
)

func TestEvaluate_DeniedPaths(t *testing.T) {
	for name, tc := range deniedChanges {
		t.Run(name, func(t *testing.T) {
			new, old := update(t, tc.send)
			if diff := cmp.Diff(tc.want, deniedPaths(t, new, old, ordinaryUser)); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvaluate_SortsDeniedPaths(t *testing.T) {
	new, old := update(t, func(j *batchv1.Job) {
		for name, tc := range deniedChanges {
			switch name {
			case "scalar changed", "generateName", "image", "annotation changed", "toleration", "struct added":
				tc.send(j)
			}
		}
	})
	want := []string{
		`metadata.annotations["example.com/ticket"]`,
		"metadata.generateName",
		"spec.backoffLimit",
		"spec.successPolicy",
		`spec.template.spec.containers[name="main"].image`,
		"spec.template.spec.tolerations",
	}
	if diff := cmp.Diff(want, deniedPaths(t, new, old, ordinaryUser)); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestBootstrapPolicies_GarbageCollector(t *testing.T) {
	send := func(j *batchv1.Job) { j.Finalizers, j.OwnerReferences = nil, nil }
	all := []string{
		`metadata.finalizers["example.com/a"]`,
		`metadata.finalizers["example.com/b"]`,
		`metadata.ownerReferences[uid="c0ffee"]`,
	}
	for name, want := range map[string][]string{
		"":             all,
		"alice":        all,
		"system:admin": all,
		"system:serviceaccount:kube-system:job-controller":             all,
		"system:serviceaccount:default:generic-garbage-collector":      all,
		"system:serviceaccount:kube-system:generic-garbage-collector2": all,
		garbageCollector.Name:  nil,
		controllerManager.Name: nil,
	} {
		t.Run(name, func(t *testing.T) {
			new, old := update(t, send)
			if diff := cmp.Diff(want, deniedPaths(t, new, old, User{Name: name})); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBootstrapPolicies_GarbageCollectorDenied(t *testing.T) {
	for name, tc := range deniedChanges {
		want := slices.DeleteFunc(slices.Clone(tc.want), func(p string) bool {
			return within(p, []string{"metadata.finalizers", "metadata.ownerReferences"})
		})
		t.Run(name, func(t *testing.T) {
			new, old := update(t, tc.send)
			if diff := cmp.Diff(want, deniedPaths(t, new, old, garbageCollector), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}
