// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewOptions(t *testing.T) {
	o := NewOptions()
	want := []string{
		"NamespaceLifecycle", "PodSecurity", "OwnerReferencesPermissionEnforcement", "MutatingAdmissionPolicy",
		"MutatingAdmissionWebhook", "ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook", "ResourceQuota",
	}
	if diff := cmp.Diff(want, o.RecommendedPluginOrder); diff != "" {
		t.Errorf("unexpected plugin order (-want +got):\n%s", diff)
	}
	for _, plugin := range want {
		if !slices.Contains(o.Plugins.Registered(), plugin) {
			t.Errorf("%s is not registered", plugin)
		}
		if off := o.DefaultOffPlugins.Has(plugin); off != (plugin == "OwnerReferencesPermissionEnforcement") {
			t.Errorf("%s is off by default: %t", plugin, off)
		}
	}
}
