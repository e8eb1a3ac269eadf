// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// A failed check must not change anything.
func TestImport_FailedCheck(t *testing.T) {
	putStale := func(e *testEnv) {
		if err := (etcdStorage{e.etcds.dedicated}).Put("jobs", newJob("stale")); err != nil {
			e.t.Fatal(err)
		}
	}
	mark := func(e *testEnv, m marker) {
		if err := e.dedicated.mark(e.t.Context(), &m); err != nil {
			e.t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		prepare     func(*testEnv, *Import)
		check, want string
	}{
		"missing permission":        {func(e *testEnv, _ *Import) { e.Denied["create validatingadmissionpolicies"] = true }, "permissions", "the user may not create validatingadmissionpolicies"},
		"other operation":           {func(e *testEnv, _ *Import) { e.freezeByHand() }, "other operations", "set --resume"},
		"Batchgate down":            {func(e *testEnv, _ *Import) { e.Batchgate.Down = true }, "etcd", "could not be reached"},
		"cluster's etcd":            {func(e *testEnv, i *Import) { i.Etcd = e.shared }, "etcd", "the server does not use this etcd: use the --etcd-servers of Batchgate"},
		"Jobs of another cluster":   {func(e *testEnv, _ *Import) { putStale(e); mark(e, marker{Cluster: "other", State: stateServing}) }, "etcd", "each cluster needs its own etcd"},
		"Jobs without a marker":     {func(e *testEnv, _ *Import) { putStale(e) }, "etcd", "set --overwrite to discard them"},
		"Jobs of an earlier import": {func(e *testEnv, _ *Import) { putStale(e); mark(e, marker{Cluster: "cluster-uid", State: stateServing}) }, "etcd", "set --overwrite to discard them"},
		"unreadable marker":         {func(e *testEnv, _ *Import) { e.putRaw(policy.MarkerKey, "x") }, "etcd", "reading /batchgate.io/import in etcd"},
		"encrypted Jobs":            {func(e *testEnv, i *Import) { e.putRaw("/registry/jobs/a/b", "k8s:enc:aescbc:v1:x"); i.Overwrite = true }, "encryption", "moving encrypted objects is not supported"},
		"low revisions":             {func(e *testEnv, i *Import) { e.Batchgate.Storage, i.Etcd = etcdStorage{e.etcds.shared}, e.shared }, "revisions", "would silently see nothing"},
		"denied canary":             {func(e *testEnv, _ *Import) { e.denyCanary() }, "canary", "choose another namespace with --canary-namespace"},
		"other Batchgate version":   {func(e *testEnv, _ *Import) { e.Batchgate.SetVersion("v1.36.0") }, "versions", "install the Batchgate release for Kubernetes 1.37"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			i := e.newImport()
			tc.prepare(e, i)
			before, dedicated := e.APIService().ResourceVersion, values(t, e.etcds.dedicated)
			if err := i.Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) {
				t.Errorf("unexpected error: %v", err)
			}
			if got := e.result(tc.check); !strings.Contains(got.Error, tc.want) {
				t.Errorf("%s: %+v, want %q", tc.check, got, tc.want)
			}
			if after := e.APIService().ResourceVersion; after != before || e.has(policy.GuardName) {
				t.Error("something was changed")
			}
			if after := values(t, e.etcds.dedicated); !slices.Equal(after, dedicated) {
				t.Errorf("the dedicated etcd has %q", after)
			}
		})
	}
}

// freezeByHand creates the freeze of another operation.
func (e *testEnv) freezeByHand() {
	e.t.Helper()
	if _, _, err := create(e.t.Context(), e.Cluster.Cluster, cluster.Freeze, nil); err != nil {
		e.t.Fatal(err)
	}
}

// putRaw writes a key of the dedicated etcd.
func (e *testEnv) putRaw(key, value string) {
	e.t.Helper()
	if _, err := e.etcds.dedicated.Put(e.t.Context(), key, value); err != nil {
		e.t.Fatal(err)
	}
	if strings.HasPrefix(key, policy.DefaultEtcdPrefix) {
		// The simulated Batchgate cannot decode the value. The test only needs the revision.
		e.Batchgate.Storage = revisionOnly{etcdStorage{e.etcds.dedicated}}
	}
}

// denyCanary makes kube-apiserver deny the canary.
func (e *testEnv) denyCanary() {
	e.Before = func(request string) error {
		if strings.HasPrefix(request, "kube-apiserver dry-run jobs") {
			return errors.New("denied by quota")
		}
		return nil
	}
}
