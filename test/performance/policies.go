// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
)

// policies measures patches by the number of policies: JobUpdatePolicies of Batchgate, and bindings
// of the native admission policy. Either one of them or all are for the namespace. Batchgate gets
// patches that need no policy, and patches that need one.
//
// Each round goes through the numbers up and down without a pause, because they are compared: a
// machine that gets slower or faster during a round favors neither few nor many policies.
func (b *bench) policies(ctx context.Context, r *results) error {
	up := b.plan.policies
	down := slices.Clone(up)
	slices.Reverse(down)
	for round := range b.rounds {
		progress("policies, round %d of %d", round+1, b.rounds)
		for _, numbers := range [][]int{up, down} {
			for _, all := range []bool{false, true} {
				if err := b.policiesIn(ctx, r, numbers, all); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *bench) policiesIn(ctx context.Context, r *results, numbers []int, all bool) error {
	where := "other namespaces"
	if all {
		where = "this namespace"
	}
	for _, n := range numbers {
		bindings := &variant{name: "native, bindings for " + where, gated: true,
			enter: func(b *bench, ctx context.Context) error { return b.createAdmissionPolicy(ctx, n, all) },
			leave: (*bench).deleteAdmissionPolicy}
		if err := b.patches(ctx, r, bindings, n, b.patch()); err != nil {
			return err
		}
	}
	for _, n := range numbers {
		if err := b.patches(ctx, r, granted(n, all), n, b.patch(), b.grantedPatch()); err != nil {
			return err
		}
	}
	return nil
}

// granted returns the variant of Batchgate with this many policies.
func granted(policies int, all bool) *variant {
	v := *direct
	if v.gated = false; all {
		v.name += ", all for this namespace"
	}
	v.enter = func(b *bench, ctx context.Context) error {
		if err := b.takeOver(ctx); err != nil {
			return err
		}
		return b.createGrants(ctx, policies, all)
	}
	v.leave = func(b *bench, ctx context.Context) error {
		if err := b.deleteGrants(ctx); err != nil {
			return err
		}
		return b.rollBack(ctx)
	}
	return &v
}

// patches measures patches by 32 clients with a variant that has this many policies.
func (b *bench) patches(ctx context.Context, r *results, v *variant, policies int, ops ...operation) error {
	return b.in(ctx, v, func() error {
		for _, op := range ops {
			b.settle(ctx)
			s, err := b.load(ctx, b.config(v, ""), op, 32)
			if err != nil {
				return err
			}
			r.add(cell{v.name, withPolicies(op.name, policies), 32, admin}, s)
		}
		return nil
	})
}

// withPolicies returns the name of an operation with this many policies.
func withPolicies(operation string, n int) string {
	return operation + " with " + count(n, "policy", "policies")
}

// createGrants creates this many JobUpdatePolicies and waits until all are active. The first one is
// for all users and the namespace of the benchmark. The others are too if all is set, otherwise they
// are for other users and namespaces.
func (b *bench) createGrants(ctx context.Context, n int, all bool) error {
	policies, err := b.jobUpdatePolicies()
	if err != nil {
		return err
	}
	err = times(n, func(i int) error {
		where, subject := namespace, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: user.AllAuthenticated}
		if i > 0 && !all {
			where = fmt.Sprintf("other-%d", i)
			subject.Kind, subject.Name = rbacv1.UserKind, fmt.Sprintf("user-%d", i)
		}
		_, err := policies.Create(ctx, &v1alpha1.JobUpdatePolicy{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("benchmark-%d", i), Labels: selected},
			Spec: v1alpha1.JobUpdatePolicySpec{
				Subjects:          []rbacv1.Subject{subject},
				NamespaceSelector: inNamespace(where),
				JobSelector:       &metav1.LabelSelector{},
				Fields:            []string{"spec.suspend", "metadata.annotations"},
				Action:            v1alpha1.Allow,
			},
		}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		list, err := policies.List(ctx, metav1.ListOptions{LabelSelector: selector})
		return err == nil && !slices.ContainsFunc(list.Items, func(p v1alpha1.JobUpdatePolicy) bool {
			return !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady)
		}), nil
	})
}

func (b *bench) deleteGrants(ctx context.Context) error {
	policies, err := b.jobUpdatePolicies()
	if err != nil {
		return err
	}
	return policies.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: selector})
}

func (b *bench) jobUpdatePolicies() (policyclient.JobUpdatePolicyInterface, error) {
	config := b.cluster.DirectConfig()
	config.QPS = -1
	client, err := policyclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return client.JobUpdatePolicies(), nil
}
