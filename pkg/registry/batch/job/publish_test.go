// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

func TestAuditAnnotations(t *testing.T) {
	annotate := func(j *batch.Job) { j.Annotations = map[string]string{"b": "", "a": ""} }
	for name, tc := range map[string]struct {
		gate *Gate
		send jobChange
		want []string
	}{
		"allow by fast path": {bootstrapGate, parallelism(3), []string{
			"policy.batchgate.io/decision", "allow",
			"policy.batchgate.io/granted-by", "default",
		}},
		"allow": {newGate(policy("p", v1alpha1.Allow, "metadata.annotations[*]")), both(annotate, parallelism(3)), []string{
			"policy.batchgate.io/decision", "allow",
			"policy.batchgate.io/granted-by", "default,p",
		}},
		"warn": {newGate(policy("p", v1alpha1.Warn, "metadata.annotations")), both(annotate, parallelism(3)), []string{
			"policy.batchgate.io/decision", "warn",
			"policy.batchgate.io/warned-paths", `metadata.annotations["a"]; metadata.annotations["b"]`,
			"policy.batchgate.io/job-labels", `{"app":"render"}`,
			"policy.batchgate.io/granted-by", "default,p",
		}},
		"deny": {bootstrapGate, both(annotate, parallelism(3)), []string{
			"policy.batchgate.io/decision", "deny",
			"policy.batchgate.io/denied-paths", `metadata.annotations["a"]; metadata.annotations["b"]`,
			"policy.batchgate.io/job-labels", `{"app":"render"}`,
			"policy.batchgate.io/granted-by", "default",
		}},
		"no change": {bootstrapGate, func(*batch.Job) {}, []string{"policy.batchgate.io/decision", "allow"}},
	} {
		old := storedJob(t)
		new := old.DeepCopy()
		tc.send(new)
		d, err := tc.gate.evaluate(requestContext("alice", &recorder{}), new, old)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, auditAnnotations(d, old.Labels)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStrategy_PublishCounts(t *testing.T) {
	ctx := requestContext("alice", &recorder{})
	evaluated := func(s evaluatingStrategy) evaluatingStrategy {
		old := storedJob(t)
		new := old.DeepCopy()
		new.Labels["a"] = "b"
		if err := rest.BeforeUpdate(s, ctx, new, old); err != nil {
			t.Fatal(err)
		}
		return s
	}
	failed := NewStrategy(bootstrapGate)
	failed.err = errors.New("conversion failed")
	reset := evaluated(NewStrategy(bootstrapGate))
	reset.Reset()
	for name, tc := range map[string]struct {
		strategy             evaluatingStrategy
		outcome, subresource string
		want                 float64
	}{
		"jobs":                {evaluated(NewStrategy(bootstrapGate)), "allow", "", 1},
		"status":              {evaluated(NewStatusStrategy(bootstrapGate)), "allow", "status", 1},
		"failed evaluation":   {failed, "deny", "", 1},
		"not evaluated":       {NewStrategy(bootstrapGate), "allow", "", 0},
		"reset by an attempt": {reset, "allow", "", 0},
	} {
		decisions.Reset()
		tc.strategy.Publish(ctx, &metav1.UpdateOptions{}, nil)
		value, err := testutil.GetCounterMetricValue(decisions.WithLabelValues(tc.outcome, tc.subresource))
		if err != nil || value != tc.want {
			t.Errorf("%s: %s counted %v times, want %v; error %v", name, tc.outcome, value, tc.want, err)
		}
	}
}

// A path that is cut, or a list of fields instead of paths, could be read as another path.
func TestJoinPaths_ListsOnlyWholePaths(t *testing.T) {
	long := fieldpath.Path{}.Field("metadata").Field("annotations").Key(strings.Repeat("a", 300))
	for want, denied := range map[string][]fieldpath.Path{
		"spec.a; 1 more": {fieldpath.Path{}.Field("spec").Field("a"), long},
		"1 more":         {long},
		"spec.a":         {fieldpath.Path{}.Field("spec").Field("a")},
	} {
		if got := joinPaths(denied); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	tooMany := &fieldpolicy.Decision{Outcome: fieldpolicy.Deny, TooManyChanges: true, Changes: []fieldpolicy.Change{{Path: fieldpath.Path{}.Field("spec")}}}
	want := []string{"policy.batchgate.io/decision", "deny", "policy.batchgate.io/denied-paths", "10000 more", "policy.batchgate.io/job-labels", "{}"}
	if diff := cmp.Diff(want, auditAnnotations(tooMany, nil)); diff != "" {
		t.Errorf("too many changes (-want +got):\n%s", diff)
	}
	if got := labelsText(map[string]string{"a": strings.Repeat("x", 5000)}); got != "" {
		t.Errorf("long labels are logged: %s", got)
	}
}
