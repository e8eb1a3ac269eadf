// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // conversion and defaults of Jobs
	_ "k8s.io/kubernetes/pkg/apis/core/install"  // and of their Pod templates

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// storedJob returns the Job in testdata with upstream's defaults.
func storedJob(t testing.TB) *batchv1.Job {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	obj, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(batchv1.SchemeGroupVersion), content)
	if err != nil {
		t.Fatal(err)
	}
	return obj.(*batchv1.Job)
}

// internalJob converts without defaulting. The result shares no memory with in.
func internalJob(t testing.TB, in *batchv1.Job) *batch.Job {
	t.Helper()
	out := &batch.Job{}
	if err := legacyscheme.Scheme.Convert(in.DeepCopy(), out, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

// v1Job converts without defaulting. The result shares no memory with in.
func v1Job(t testing.TB, in *batch.Job) *batchv1.Job {
	t.Helper()
	out := &batchv1.Job{}
	if err := legacyscheme.Scheme.Convert(in.DeepCopy(), out, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

// update returns a changed copy of the stored Job, and the stored Job.
func update(t testing.TB, change func(*batchv1.Job)) (new, old *batch.Job) {
	t.Helper()
	stored := storedJob(t)
	sent := stored.DeepCopy()
	change(sent)
	return internalJob(t, sent), internalJob(t, stored)
}

// bootstrap is the Snapshot of the bootstrap policies.
var bootstrap, _ = Compile(bootstrappolicy.Policies())

func knownLabels(set labels.Set) func() labels.Set { return func() labels.Set { return set } }

// evaluate evaluates an update in a namespace with these labels. It checks that the fast path
// agrees with the evaluation of paths, and that the Decision is consistent.
func evaluate(t testing.TB, s *Snapshot, new, old *batch.Job, user User, namespace labels.Set) *Decision {
	t.Helper()
	d, err := s.Evaluate(new, old, user, knownLabels(namespace))
	if err != nil {
		t.Fatal(err)
	}
	byPath, err := s.evaluatePaths(new, old, user, knownLabels(namespace))
	if err != nil {
		t.Fatal(err)
	}
	if d.Outcome != byPath.Outcome || !equality.Semantic.DeepEqual(d.Job, byPath.Job) {
		t.Errorf("Evaluate returns %s, evaluating paths returns %s; the Jobs to store differ (-paths +fast):\n%s",
			d.Outcome, byPath.Outcome, cmp.Diff(byPath.Job, d.Job))
	}
	for _, name := range d.GrantingPolicies() {
		if !slices.Contains(byPath.GrantingPolicies(), name) {
			t.Errorf("the fast path names the granting policy %s, evaluating paths does not", name)
		}
	}
	checkConsistent(t, d)
	checkConsistent(t, byPath)
	return byPath
}

func checkConsistent(t testing.TB, d *Decision) {
	t.Helper()
	want := Allow
	switch {
	case len(d.DeniedPaths()) > 0:
		want = Deny
	case len(d.WarnedPaths()) > 0:
		want = Warn
	}
	if d.Outcome != want || (d.Job == nil) != (d.Outcome == Deny) {
		t.Errorf("the decision is %s, want %s; it has a Job to store: %t", d.Outcome, want, d.Job != nil)
	}
}

// deniedPaths returns the paths that the bootstrap policies deny, as text.
func deniedPaths(t testing.TB, new, old *batch.Job, user User) []string {
	t.Helper()
	return texts(evaluate(t, bootstrap, new, old, user, nil).DeniedPaths())
}

func texts(paths []fieldpath.Path) []string {
	var result []string
	for _, p := range paths {
		result = append(result, p.String())
	}
	return result
}

// changedPaths returns the paths that compare finds, as text.
func changedPaths(new, old *batchv1.Job) []string {
	_, paths, _ := compare(new, old)
	return texts(paths)
}

// within reports whether a path is, or lies below, any of the fields.
func within(path string, fields []string) bool {
	p, err := fieldpath.Parse(path)
	if err != nil {
		panic(err)
	}
	return slices.ContainsFunc(fields, func(f string) bool {
		pattern, err := fieldpath.ParsePattern(f)
		if err != nil {
			panic(err)
		}
		return pattern.Matches(p)
	})
}
