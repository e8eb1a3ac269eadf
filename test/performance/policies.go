// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
)

// policyLabel selects the JobUpdatePolicies of this program.
const policyLabel = "benchmark"

// policies measures patches with many JobUpdatePolicies, compared with as many bindings of the
// ValidatingAdmissionPolicy. The policies differ in their fields and selectors, and all of them are for
// the Jobs. One grants the annotation that granted patches change.
func (b *bench) policies(ctx context.Context, r *results) (err error) {
	n := b.plan.policies
	progress("creating %s and bindings", count(n, "policy", "policies"))
	if err := b.alternatives.createAdmissionPolicy(ctx, n-1); err != nil {
		return err
	}
	client, err := b.gated.createPolicies(ctx, n)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err,
			b.alternatives.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}),
			client.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: policyLabel}))
	}()
	named := func(names ...string) []*arm {
		var arms []*arm
		for _, name := range names {
			i := slices.IndexFunc(b.arms, func(a *arm) bool { return a.name == name })
			arms = append(arms, b.arms[i])
		}
		return arms
	}
	for _, step := range []struct {
		operation string
		arms      []*arm
	}{
		{"patch", named(aggregated, withAdmissionPolicy, direct)},
		{"granted patch", named(aggregated, direct)},
	} {
		m := measurement{Operation: step.operation, User: withRole, Clients: 16}
		progress("%s, %s", m, count(n, "policy", "policies"))
		result, err := b.measure(ctx, m, step.arms)
		if err != nil {
			return err
		}
		result.PolicyCount = n
		r.Policies = append(r.Policies, result)
	}
	return nil
}

// createPolicies creates JobUpdatePolicies and waits until all are active.
func (p *plane) createPolicies(ctx context.Context, n int) (policyclient.JobUpdatePolicyInterface, error) {
	config := p.DirectConfig()
	config.QPS = -1
	client, err := policyclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	policies := client.JobUpdatePolicies()
	err = times(n, func(i int) error {
		fields := make([]string, 256)
		for j := range fields {
			fields[j] = fmt.Sprintf(`metadata.annotations["team-%d.example.com/%d"]`, i, j)
		}
		if i == 0 {
			fields[0] = `metadata.annotations["at"]`
		}
		_, err := policies.Create(ctx, &v1alpha1.JobUpdatePolicy{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("benchmark-%d", i), Labels: map[string]string{policyLabel: ""}},
			Spec: v1alpha1.JobUpdatePolicySpec{
				NamespaceSelector: inNamespace(namespace),
				JobSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
					{Key: "team", Operator: metav1.LabelSelectorOpNotIn, Values: []string{fmt.Sprint(i)}},
				}},
				Fields: fields,
				Action: v1alpha1.Allow,
			},
		}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return nil, err
	}
	return policies, wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		list, err := policies.List(ctx, metav1.ListOptions{LabelSelector: policyLabel})
		return err == nil && !slices.ContainsFunc(list.Items, func(p v1alpha1.JobUpdatePolicy) bool {
			return !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady)
		}), nil
	})
}
