// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// Denial is a ValidatingAdmissionPolicy that denies all writes of Jobs and CronJobs, and its
// binding, which has the same name.
type Denial struct {
	Name string
	// Message is what clients see.
	Message string
	// EnforcedBy is the value of policy.EnforcedByLabel. Empty means every server.
	EnforcedBy string
}

var (
	// Freeze denies writes on both servers while objects are moved.
	Freeze = Denial{
		Name:    policy.FreezeName,
		Message: "Jobs and CronJobs cannot be changed while they are moved to another etcd: try again in a minute",
	}
	// Guard denies writes on kube-apiserver while the objects are in the dedicated etcd.
	Guard = Denial{
		Name:       policy.GuardName,
		Message:    "Jobs and CronJobs are in Batchgate's dedicated etcd, and this kube-apiserver does not proxy requests to Batchgate yet: try again",
		EnforcedBy: policy.EnforcedByKubeAPIServer,
	}
)

// Objects returns the policy and its binding, with the API's defaults.
func (d Denial) Objects() (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding) {
	p := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: ptr.To(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{
				MatchPolicy:       ptr.To(admissionv1.Equivalent),
				NamespaceSelector: &metav1.LabelSelector{},
				ObjectSelector:    &metav1.LabelSelector{},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{
					RuleWithOperations: admissionv1.RuleWithOperations{
						Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete},
						Rule: admissionv1.Rule{
							APIGroups: []string{"batch"}, APIVersions: []string{"*"},
							Resources: []string{"jobs", "jobs/*", "cronjobs", "cronjobs/*"},
							Scope:     ptr.To(admissionv1.AllScopes),
						},
					},
				}},
			},
			Validations: []admissionv1.Validation{{Expression: "false", Message: d.Message}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: d.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	if d.EnforcedBy != "" {
		binding.Labels = map[string]string{policy.EnforcedByLabel: d.EnforcedBy}
	}
	return p, binding
}

// errEdited is wrapped by the error for a policy or a binding that was edited or created again, or is being
// deleted.
var errEdited = errors.New("was edited, so it might not deny writes")

// VerifyPolicy fails if the policy does not deny what it must.
func (d Denial) VerifyPolicy(p *admissionv1.ValidatingAdmissionPolicy) error {
	want, _ := d.Objects()
	if !equality.Semantic.DeepEqual(p.Spec, want.Spec) || p.DeletionTimestamp != nil {
		return fmt.Errorf("ValidatingAdmissionPolicy %s %w", d.Name, errEdited)
	}
	return nil
}

// VerifyBinding fails if the binding does not enforce the policy on the servers on which it must.
func (d Denial) VerifyBinding(binding *admissionv1.ValidatingAdmissionPolicyBinding) error {
	_, want := d.Objects()
	if !equality.Semantic.DeepEqual(binding.Spec, want.Spec) || binding.Labels[policy.EnforcedByLabel] != d.EnforcedBy || binding.DeletionTimestamp != nil {
		return fmt.Errorf("ValidatingAdmissionPolicyBinding %s %w", d.Name, errEdited)
	}
	return nil
}

// DenialID identifies a policy and its binding. Objects that are deleted and created again have
// other UIDs.
func DenialID(p *admissionv1.ValidatingAdmissionPolicy, binding *admissionv1.ValidatingAdmissionPolicyBinding) string {
	return string(p.UID) + "," + string(binding.UID)
}

// VerifyDenial fails if the policy or its binding are missing or were edited.
func (c *Cluster) VerifyDenial(ctx context.Context, d Denial) error {
	_, _, err := c.verifyDenial(ctx, d)
	return err
}

// VerifyFreezeThroughout does what VerifyDenial does for the freeze. It also fails if the freeze is
// not the one that the freeze annotation of v1.batch names, or if it was edited and restored.
func (c *Cluster) VerifyFreezeThroughout(ctx context.Context, a *APIService) error {
	p, binding, err := c.verifyDenial(ctx, Freeze)
	if err == nil && (DenialID(p, binding) != a.freeze || p.Generation > 1 || binding.Generation > 1) {
		err = fmt.Errorf("ValidatingAdmissionPolicy %s or its binding %w", Freeze.Name, errEdited)
	}
	return err
}

func (c *Cluster) verifyDenial(ctx context.Context, d Denial) (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding, error) {
	client := c.Kube.AdmissionregistrationV1()
	binding, err := client.ValidatingAdmissionPolicyBindings().Get(ctx, d.Name, metav1.GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	p, err := client.ValidatingAdmissionPolicies().Get(ctx, d.Name, metav1.GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	return p, binding, errors.Join(d.VerifyBinding(binding), d.VerifyPolicy(p))
}

// Ineffective reports whether err, which VerifyDenial has returned, means that writes may be allowed.
func Ineffective(err error) bool { return apierrors.IsNotFound(err) || errors.Is(err, errEdited) }
