// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"context"
	"fmt"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
	listers "github.com/batchgate/batchgate/pkg/generated/listers/policy/v1alpha1"
)

// ensureBootstrapPolicies creates the bootstrap policies that are missing and restores the
// spec of those that were modified, unless an annotation disables that. It returns the stored
// policies.
//
// It replaces the whole spec. Adding only missing entries, as kube-apiserver does for
// ClusterRoles, could grant everyone the fields that an admin has added for some users.
func ensureBootstrapPolicies(ctx context.Context, client policyclient.JobUpdatePolicyInterface) ([]*v1alpha1.JobUpdatePolicy, error) {
	var policies []*v1alpha1.JobUpdatePolicy
	for _, wanted := range bootstrappolicy.Policies() {
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		p, err := ensurePolicy(ctx, client, wanted)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("ensuring JobUpdatePolicy %s: %w", wanted.Name, err)
		}
		policies = append(policies, p)
	}
	return policies, nil
}

func ensurePolicy(ctx context.Context, client policyclient.JobUpdatePolicyInterface, wanted *v1alpha1.JobUpdatePolicy) (*v1alpha1.JobUpdatePolicy, error) {
	logger := klog.FromContext(ctx)
	stored, err := client.Get(ctx, wanted.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		wanted.Labels = map[string]string{policy.BootstrapLabel: "true"}
		wanted.Annotations = map[string]string{policy.AutoUpdateAnnotation: "true"}
		created, err := client.Create(ctx, wanted, metav1.CreateOptions{})
		if err == nil {
			logger.Info("Created bootstrap policy", "policy", klog.KObj(wanted))
		}
		return created, err
	}
	if err != nil {
		return nil, err
	}
	if c := meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.ConditionSupported); c != nil && c.Status == metav1.ConditionFalse {
		logger.Error(nil, "Bootstrap policy grants nothing; upgrade the replica, or delete the policy and restart", "policy", klog.KObj(stored), "reason", c.Message)
		return stored, nil
	}
	if stored.Annotations[policy.AutoUpdateAnnotation] == "false" || apiequality.Semantic.DeepEqual(stored.Spec, wanted.Spec) {
		return stored, nil
	}
	restored := stored.DeepCopy()
	restored.Spec = wanted.Spec
	updated, err := client.Update(ctx, restored, metav1.UpdateOptions{})
	if err == nil {
		logger.Info("Restored bootstrap policy; to keep changes, set the annotation or create another policy",
			"policy", klog.KObj(stored), "annotation", policy.AutoUpdateAnnotation+"=false", "replacedSpec", stored.Spec)
	}
	return updated, err
}

// haveBootstrapPolicies reports whether all bootstrap policies exist, whatever their spec.
func haveBootstrapPolicies(lister listers.JobUpdatePolicyLister) bool {
	return !slices.ContainsFunc(bootstrappolicy.Policies(), func(p *v1alpha1.JobUpdatePolicy) bool {
		_, err := lister.Get(p.Name)
		return err != nil
	})
}
