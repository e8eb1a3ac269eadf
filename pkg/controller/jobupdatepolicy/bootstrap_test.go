// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/component-base/metrics/testutil"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
)

func bootstrapNames() []string {
	var names []string
	for _, p := range bootstrappolicy.Policies() {
		names = append(names, p.Name)
	}
	return names
}

func TestController_CreatesBootstrapPolicies(t *testing.T) {
	f := newFixture(t)
	if f.isReady() || f.snapshots.HasSynced() {
		t.Error("the controller is ready before it runs")
	}
	f.run()
	f.eventually("readiness", f.isReady)
	for _, wanted := range bootstrappolicy.Policies() {
		p := f.stored(wanted.Name)
		if diff := cmp.Diff(wanted.Spec, p.Spec); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.Name, diff)
		}
		if p.Labels[policy.BootstrapLabel] != "true" || p.Annotations[policy.AutoUpdateAnnotation] != "true" {
			t.Errorf("%s has labels %v and annotations %v", p.Name, p.Labels, p.Annotations)
		}
	}
	if value, err := testutil.GetGaugeMetricValue(upToDate); err != nil || value != 1 {
		t.Errorf("job_update_policies_up_to_date is %v, %v", value, err)
	}
}

func TestController_RestoresBootstrapPolicies(t *testing.T) {
	for name, tc := range map[string]struct {
		autoUpdate   string
		wantRestored bool
	}{
		"default":                {"true", true},
		"without annotation":     {"", true},
		"auto-update turned off": {"false", false},
	} {
		t.Run(name, func(t *testing.T) {
			policies := bootstrappolicy.Policies()
			modified := policies[0]
			modified.Spec.Fields = []string{"spec.suspend"}
			modified.Annotations = map[string]string{policy.AutoUpdateAnnotation: tc.autoUpdate}
			f := newFixture(t, policies...)
			f.run()
			f.eventually("readiness", f.isReady)
			restored := !slices.Equal(f.stored(modified.Name).Spec.Fields, modified.Spec.Fields)
			if restored != tc.wantRestored {
				t.Errorf("restored: %t, want %t", restored, tc.wantRestored)
			}
			if f.allowsSuspend() == tc.wantRestored {
				t.Errorf("want the modified policy to be active: %t", !tc.wantRestored)
			}
		})
	}
}

// The server must not start with only some of the bootstrap policies.
func TestController_WaitsForBootstrapPolicies(t *testing.T) {
	f := newFixture(t, suspendPolicy("other"))
	stop := f.fail("create", errors.New("etcd is down"))
	f.run()
	f.eventually("an attempt to create a policy", func() bool {
		return slices.ContainsFunc(f.clientset.Actions(), func(a clienttesting.Action) bool { return a.GetVerb() == "create" })
	})
	if f.isReady() || f.snapshots.HasSynced() {
		t.Error("the controller is ready without bootstrap policies")
	}
	stop()
	f.eventually("readiness", f.isReady)
	for _, name := range bootstrapNames() {
		f.stored(name)
	}
}

func TestController_StartsIfRestoreFails(t *testing.T) {
	policies := bootstrappolicy.Policies()
	policies[0].Spec.Fields = []string{"spec.suspend"}
	f := newFixture(t, policies...)
	stop := f.fail("update", apierrors.NewServiceUnavailable("a webhook is down"))
	f.run()
	f.eventually("readiness", f.isReady)
	if !f.allowsSuspend() {
		t.Error("the stored policy is not active")
	}
	stop()
	f.eventually("restored policy", func() bool { return !f.allowsSuspend() })
}
