// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
)

type rejecting struct{ *admission.Handler }

var errRejected = errors.New("rejected")

func (rejecting) Admit(context.Context, admission.Attributes, admission.ObjectInterfaces) error {
	return errRejected
}

func TestWithoutReviews_Admit(t *testing.T) {
	plugin := rejecting{admission.NewHandler(admission.Create)}
	for _, tc := range []struct {
		plugin, group, resource string
		skipped                 bool
	}{
		{"NamespaceLifecycle", "policy.batchgate.io", "selfjobupdatereviews", true},
		{"NamespaceLifecycle", "policy.batchgate.io", "jobupdatereviews", true},
		{"NamespaceLifecycle", "policy.batchgate.io", "jobupdatepolicies", false},
		{"NamespaceLifecycle", "batch", "jobs", false},
		{"NamespaceLifecycle", "batch", "selfjobupdatereviews", false},
		{"PodSecurity", "policy.batchgate.io", "selfjobupdatereviews", false},
	} {
		resource := schema.GroupVersionResource{Group: tc.group, Version: "v1", Resource: tc.resource}
		attributes := admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{}, "a", "b", resource, "", admission.Create, nil, false, nil)
		err := withoutReviews(plugin, tc.plugin).(admission.MutationInterface).Admit(t.Context(), attributes, nil)
		if skipped := err == nil; skipped != tc.skipped {
			t.Errorf("%s of %s in group %s: got %v", tc.plugin, tc.resource, tc.group, err)
		}
	}
}
