// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"context"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/apis/policy/validation"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
)

type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
}

// Strategy is the create, update and delete strategy of jobupdatepolicies.
var Strategy = strategy{legacyscheme.Scheme, names.SimpleNameGenerator}

var (
	_ rest.RESTCreateStrategy  = Strategy
	_ rest.RESTUpdateStrategy  = Strategy
	_ rest.RESTDeleteStrategy  = Strategy
	_ rest.ResetFieldsStrategy = Strategy
)

// NamespaceScoped implements rest.RESTCreateStrategy.
func (strategy) NamespaceScoped() bool { return false }

// AllowCreateOnUpdate implements rest.RESTUpdateStrategy.
func (strategy) AllowCreateOnUpdate(context.Context) bool { return false }

// AllowUnconditionalUpdate implements rest.RESTUpdateStrategy. It returns false, because a PUT
// without a resourceVersion could overwrite what another admin has just changed.
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return false }

// Canonicalize implements rest.RESTCreateStrategy.
func (strategy) Canonicalize(runtime.Object) {}

// PrepareForCreate clears the status.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	p := obj.(*policy.JobUpdatePolicy)
	p.Status = policy.JobUpdatePolicyStatus{}
	p.Generation = 1
}

// PrepareForUpdate keeps the stored status and increments the generation if the spec changes.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	newPolicy, oldPolicy := obj.(*policy.JobUpdatePolicy), old.(*policy.JobUpdatePolicy)
	newPolicy.Status = oldPolicy.Status
	if !apiequality.Semantic.DeepEqual(newPolicy.Spec, oldPolicy.Spec) {
		newPolicy.Generation = oldPolicy.Generation + 1
	}
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.ValidateJobUpdatePolicy(obj.(*policy.JobUpdatePolicy))
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ValidateJobUpdatePolicyUpdate(obj.(*policy.JobUpdatePolicy), old.(*policy.JobUpdatePolicy))
}

// WarningsOnCreate implements rest.RESTCreateStrategy.
func (strategy) WarningsOnCreate(_ context.Context, obj runtime.Object) []string {
	return warnings(obj.(*policy.JobUpdatePolicy))
}

// WarningsOnUpdate implements rest.RESTUpdateStrategy.
func (strategy) WarningsOnUpdate(_ context.Context, obj, old runtime.Object) []string {
	newPolicy, oldPolicy := obj.(*policy.JobUpdatePolicy), old.(*policy.JobUpdatePolicy)
	all := warnings(newPolicy)
	if len(newPolicy.Spec.Subjects) == 0 && len(oldPolicy.Spec.Subjects) > 0 {
		all = append(all, "spec.subjects: is empty now, which grants the fields to everyone who may update Jobs")
	}
	hasName := func(p *v1alpha1.JobUpdatePolicy) bool { return p.Name == newPolicy.Name }
	if slices.ContainsFunc(bootstrappolicy.Policies(), hasName) && newPolicy.Annotations[policy.AutoUpdateAnnotation] != "false" &&
		!apiequality.Semantic.DeepEqual(newPolicy.Spec, oldPolicy.Spec) {
		all = append(all, "spec: Batchgate restores the default when it starts; to keep your change, annotate the policy with "+policy.AutoUpdateAnnotation+"=false")
	}
	return all
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields("status")
}

type statusStrategy struct {
	strategy
}

// StatusStrategy is the update strategy of jobupdatepolicies/status.
var StatusStrategy = statusStrategy{Strategy}

var (
	_ rest.RESTUpdateStrategy  = StatusStrategy
	_ rest.ResetFieldsStrategy = StatusStrategy
)

// PrepareForUpdate keeps everything but the status.
func (statusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	newPolicy, oldPolicy := obj.(*policy.JobUpdatePolicy), old.(*policy.JobUpdatePolicy)
	newPolicy.Spec = oldPolicy.Spec
	// The server sets this condition when it reads a policy. A stored one would disable the policy.
	meta.RemoveStatusCondition(&newPolicy.Status.Conditions, policy.ConditionSupported)
	metav1.ResetObjectMetaForStatus(&newPolicy.ObjectMeta, &oldPolicy.ObjectMeta)
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (statusStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ValidateJobUpdatePolicyStatusUpdate(obj.(*policy.JobUpdatePolicy), old.(*policy.JobUpdatePolicy))
}

// WarningsOnUpdate implements rest.RESTUpdateStrategy.
func (statusStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields("metadata", "spec")
}

func resetFields(names ...string) map[fieldpath.APIVersion]*fieldpath.Set {
	set := fieldpath.NewSet()
	for _, name := range names {
		set.Insert(fieldpath.MakePathOrDie(name))
	}
	return map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(v1alpha1.GroupVersion.String()): set}
}

// warnings returns a warning for a policy that disables the gate for everyone.
func warnings(p *policy.JobUpdatePolicy) []string {
	if p.Spec.Action != policy.Allow || len(p.Spec.Subjects) > 0 {
		return nil
	}
	for _, f := range p.Spec.Fields {
		if f == "*" || f == "spec" || f == "metadata" {
			return []string{"spec.fields: " + f + " is allowed for everyone who may update Jobs; add subjects, or use the action Warn to try it"}
		}
	}
	return nil
}
