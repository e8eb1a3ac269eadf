// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

func TestPattern_Variants(t *testing.T) {
	t.Parallel()
	filled := &batchv1.Job{}
	fill(reflect.ValueOf(&filled.ObjectMeta).Elem())
	fill(reflect.ValueOf(&filled.Spec).Elem())
	patterns := append(fieldpath.AllPatterns(),
		"*", `metadata.labels["b"]`, `metadata.labels["b*"]`, `metadata.finalizers["b"]`,
		`spec.template.spec.containers[name="a"].image`, `spec.template.spec.containers[name="b"].image`,
		`spec.template.spec.containers[*].ports[containerPort=1,protocol="a"].hostPort`,
	)
	for name, job := range map[string]*batchv1.Job{"empty": {}, "filled": filled} {
		unchanged := job.DeepCopy()
		for _, text := range patterns {
			pattern, err := fieldpath.ParsePattern(text)
			if err != nil {
				t.Fatal(err)
			}
			all, total := pattern.Variants(job, 8)
			variants := slices.Collect(all)
			if len(variants) == 0 || len(variants) != min(total, 8) {
				t.Errorf("%s Job, %s: got %d variants of %d", name, text, len(variants), total)
			}
			for _, variant := range variants {
				checkVariant(t, name, job, variant, pattern)
			}
		}
		if !reflect.DeepEqual(job, unchanged) {
			t.Errorf("%s Job was changed", name)
		}
	}
}

// checkVariant checks that a variant differs in a field that the pattern matches, or, if that field is
// missing in the Job, in one above it.
func checkVariant(t *testing.T, name string, job, variant *batchv1.Job, pattern fieldpath.Pattern) {
	t.Helper()
	_, changed, _ := compare(variant, job)
	if len(changed) == 0 {
		t.Errorf("%s Job: variant of %s is equal", name, pattern)
	}
	for _, path := range changed {
		above, err := fieldpath.ParsePattern(path.String())
		if !pattern.Matches(path) && (err != nil || !pattern.IsBelow(above)) {
			t.Errorf("%s Job: variant of %s changes %s", name, pattern, path)
		}
	}
}

// The number of changes that are considered does not grow with the Job.
func TestPattern_VariantsOfLargeJob(t *testing.T) {
	pattern, err := fieldpath.ParsePattern("spec.template")
	if err != nil {
		t.Fatal(err)
	}
	var totals []int
	for _, count := range []int{10, 1000} {
		job := &batchv1.Job{}
		for i := range count {
			job.Spec.Template.Spec.Volumes = append(job.Spec.Template.Spec.Volumes, corev1.Volume{Name: fmt.Sprint("v", i)})
		}
		_, total := pattern.Variants(job, 1)
		totals = append(totals, total)
	}
	if totals[0] != totals[1] || totals[0] > 20_000 {
		t.Errorf("got %d changes", totals)
	}
}
