// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// withoutReviews makes NamespaceLifecycle skip reviews, as upstream's does for LocalSubjectAccessReviews.
// Otherwise its errors would tell every authenticated user which namespaces exist.
func withoutReviews(plugin admission.Interface, name string) admission.Interface {
	if mutating, ok := plugin.(admission.MutationInterface); ok && name == lifecycle.PluginName {
		return reviewsSkipper{mutating}
	}
	return plugin
}

type reviewsSkipper struct {
	admission.MutationInterface
}

var _ admission.MutationInterface = reviewsSkipper{}

// Admit implements admission.MutationInterface.
func (s reviewsSkipper) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	switch a.GetResource().GroupResource() {
	case policy.Resource("selfjobupdatereviews"), policy.Resource("jobupdatereviews"):
		return nil
	}
	return s.MutationInterface.Admit(ctx, a, o)
}
