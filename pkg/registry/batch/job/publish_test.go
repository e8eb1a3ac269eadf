// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
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
			"policy.batchgate.io/granted-by", "default,p",
		}},
		"deny": {bootstrapGate, both(annotate, parallelism(3)), []string{
			"policy.batchgate.io/decision", "deny",
			"policy.batchgate.io/denied-paths", `metadata.annotations["a"]; metadata.annotations["b"]`,
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
		if diff := cmp.Diff(tc.want, auditAnnotations(d)); diff != "" {
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
		tc.strategy.Publish(ctx, nil)
		value, err := testutil.GetCounterMetricValue(decisions.WithLabelValues(tc.outcome, tc.subresource))
		if err != nil || value != tc.want {
			t.Errorf("%s: %s counted %v times, want %v; error %v", name, tc.outcome, value, tc.want, err)
		}
	}
}
