// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

func TestImport_Run(t *testing.T) {
	e := imported(t)
	if got := e.result("copy").Detail; got != "3 Jobs and CronJobs" {
		t.Errorf("copy: %q", got)
	}
	if got := e.result("controllers").Detail; !strings.Contains(got, "they see new Jobs") {
		t.Errorf("controllers: %q", got)
	}
	// Compare everything that is stored, not only the UIDs.
	before, after := values(t, etcds.shared), values(t, etcds.dedicated)
	if len(before) != 3 || !slices.Equal(before, after) {
		t.Errorf("the cluster's etcd has\n%q\nand the dedicated one\n%q", before, after)
	}
	e.checkDedicated()
	if err := e.runImport(); err != nil || !strings.Contains(e.result("take over").Detail, "from the dedicated etcd already") {
		t.Errorf("repeated: %v, %+v", err, e.result("take over"))
	}
	i := e.newImport()
	i.DryRun = true
	if err := i.Run(t.Context()); err != nil {
		t.Errorf("dry run: %v", err)
	}
	e.checkDedicated()
}

// values returns the Jobs and CronJobs in an etcd as they are stored, as key=value.
func values(t *testing.T, client *clientv3.Client) []string {
	t.Helper()
	response, err := client.Get(t.Context(), policy.DefaultEtcdPrefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, kv := range response.Kvs {
		all = append(all, string(kv.Key)+"="+string(kv.Value))
	}
	return all
}

func TestImport_DryRun(t *testing.T) {
	e := newTestEnv(t)
	i := e.newImport()
	i.DryRun = true
	if err := i.Run(t.Context()); err != nil || !strings.Contains(e.result("import").Detail, "would freeze writes, copy") {
		t.Errorf("unexpected error or result: %v, %+v", err, e.results)
	}
	if got := values(t, etcds.dedicated); len(got) > 0 {
		t.Errorf("the dedicated etcd has %q", got)
	}
	e.checkShared()
}

// A failed check must not change anything.
func TestImport_FailedCheck(t *testing.T) {
	putStale := func(e *testEnv) {
		if err := (etcdStorage{etcds.dedicated}).Put("jobs", newJob("stale")); err != nil {
			e.t.Fatal(err)
		}
	}
	mark := func(e *testEnv, m marker) {
		if err := e.dedicated.mark(e.t.Context(), m); err != nil {
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
		"Jobs of another cluster":   {func(e *testEnv, _ *Import) { putStale(e); mark(e, marker{"other", stateServing}) }, "etcd", "each cluster needs its own etcd"},
		"Jobs without a marker":     {func(e *testEnv, _ *Import) { putStale(e) }, "etcd", "set --overwrite to discard them"},
		"Jobs of an earlier import": {func(e *testEnv, _ *Import) { putStale(e); mark(e, marker{"cluster-uid", stateServing}) }, "etcd", "set --overwrite to discard them"},
		"unreadable marker":         {func(e *testEnv, _ *Import) { e.putRaw(policy.MarkerKey, "x") }, "etcd", "reading /batchgate.io/import in etcd"},
		"encrypted Jobs":            {func(e *testEnv, i *Import) { e.putRaw("/registry/jobs/a/b", "k8s:enc:aescbc:v1:x"); i.Overwrite = true }, "encryption", "moving encrypted objects is not supported"},
		"low revisions":             {func(e *testEnv, i *Import) { e.Batchgate.Storage, i.Etcd = etcdStorage{etcds.shared}, e.shared }, "revisions", "would silently see nothing"},
		"denied canary":             {func(e *testEnv, _ *Import) { e.denyCanary() }, "canary", "choose another namespace with --canary-namespace"},
		"other Batchgate version":   {func(e *testEnv, _ *Import) { e.Batchgate.SetVersion("v1.36.0") }, "versions", "install the server of the cluster's minor version"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			i := e.newImport()
			tc.prepare(e, i)
			before, dedicated := e.APIService().ResourceVersion, values(t, etcds.dedicated)
			if err := i.Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) {
				t.Errorf("unexpected error: %v", err)
			}
			if got := e.result(tc.check); !strings.Contains(got.Error, tc.want) {
				t.Errorf("%s: %+v, want %q", tc.check, got, tc.want)
			}
			if after := e.APIService().ResourceVersion; after != before || e.has(policy.GuardName) {
				t.Error("something was changed")
			}
			if after := values(t, etcds.dedicated); !slices.Equal(after, dedicated) {
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
	if _, err := etcds.dedicated.Put(e.t.Context(), key, value); err != nil {
		e.t.Fatal(err)
	}
	if strings.HasPrefix(key, policy.DefaultEtcdPrefix) {
		// The simulated Batchgate cannot decode the value. The test only needs the revision.
		e.Batchgate.Storage = revisionOnly{etcdStorage{etcds.dedicated}}
	}
}

// denyCanary makes kube-apiserver deny the canary.
func (e *testEnv) denyCanary() {
	e.Before = func(request string) error {
		if strings.HasPrefix(request, "kube-apiserver create jobs") {
			return errors.New("denied by quota")
		}
		return nil
	}
}

func TestImport_Overwrite(t *testing.T) {
	e := newTestEnv(t)
	for _, job := range []string{"stale", "pi"} {
		if err := (etcdStorage{etcds.dedicated}).Put("jobs", newJob(job)); err != nil {
			t.Fatal(err)
		}
	}
	i := e.newImport()
	i.Overwrite = true
	if err := i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := e.result("etcd").Detail; got != "has 2 Jobs and CronJobs, which are replaced" {
		t.Errorf("etcd: %q", got)
	}
	e.checkDedicated()
}

// Something goes wrong during the move, but no request fails.
func TestImport_UndoneIfVerificationFails(t *testing.T) {
	for name, tc := range map[string]struct {
		request   string // happens runs after it
		happens   func(*testEnv)
		step, err string
	}{
		"freeze lifted during copy":      {"dedicated etcd commit", func(e *testEnv) { e.lift(policy.FreezeName) }, "still frozen", "the freeze was lifted"},
		"late write":                     {"dedicated etcd commit", func(e *testEnv) { e.put("jobs", newJob("late")) }, "copy", "run this again"},
		"takeover by another client":     {"dedicated etcd commit", func(e *testEnv) { e.Touch() }, "take over", "was changed by another client"},
		"object lost after the takeover": {"kube-apiserver patch apiservices v1.batch", func(e *testEnv) { e.forget("jobs/default/pi") }, "objects through kube-apiserver", "1 missing (jobs/default/pi"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			done := false
			e.After = func(request string) error {
				if request == tc.request && !done {
					done = true
					tc.happens(e)
				}
				return nil
			}
			if err := e.runImport(); !errors.Is(err, steps.ErrRolledBack) {
				t.Errorf("unexpected error: %v", err)
			}
			if got := e.result(tc.step); !strings.Contains(got.Error, tc.err) {
				t.Errorf("%s: %+v, want %q", tc.step, got, tc.err)
			}
			e.checkShared()
		})
	}
}

// client-go repeats a patch that was stored, so the patch conflicts with itself.
func TestImport_RetriedPatchConflicts(t *testing.T) {
	e := newTestEnv(t)
	done := false
	e.After = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" && !done {
			done = true
			return apierrors.NewConflict(schema.GroupResource{Resource: "apiservices"}, policy.BatchAPIService, errors.New("the object has been modified"))
		}
		return nil
	}
	if err := e.runImport(); err != nil || !done {
		t.Errorf("the error is %v", err)
	}
	e.checkDedicated()
}

// The patch conflicts with itself, and v1.batch cannot be read back. The import must undo what it may
// have changed.
func TestImport_RetriedPatchUnknown(t *testing.T) {
	e := newTestEnv(t)
	patched, failed := false, false
	e.After = func(request string) error {
		switch {
		case request == "kube-apiserver patch apiservices v1.batch" && !patched:
			patched = true
			return apierrors.NewConflict(schema.GroupResource{Resource: "apiservices"}, policy.BatchAPIService, errors.New("the object has been modified"))
		case patched && !failed:
			failed = true
			return errors.New("connection reset by peer")
		}
		return nil
	}
	if err := e.runImport(); !errors.Is(err, steps.ErrRolledBack) || !failed {
		t.Errorf("the error is %v", err)
	}
	e.checkShared()
}

// A rollback ends an import that is about to mark the dedicated etcd as serving.
func TestImport_RolledBackBeforeMark(t *testing.T) {
	e := newTestEnv(t)
	patches := 0
	e.Before = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" {
			if patches++; patches == 2 {
				e.Touch(func(a *apiregistrationv1.APIService) { a.Spec.Service, a.Annotations = nil, nil })
			}
		}
		return nil
	}
	if err := e.runImport(); !errors.Is(err, steps.ErrRolledBack) || !strings.Contains(e.result("mark as serving").Error, "was pointed to kube-apiserver by another client") {
		t.Errorf("%v, %+v", err, e.result("mark as serving"))
	}
	e.checkShared()
}

// forget deletes an object from the dedicated etcd.
func (e *testEnv) forget(id string) {
	if _, err := etcds.dedicated.Delete(context.Background(), e.dedicated.key(id)); err != nil {
		e.t.Error(err)
	}
}

func TestImport_UndoneIfUnavailable(t *testing.T) {
	e := newTestEnv(t)
	e.After = func(request string) error {
		e.Batchgate.Down = e.Batchgate.Down || e.TakenOver()
		return nil
	}
	i := e.newImport()
	i.Timeout = 20 * time.Millisecond
	if err := i.Run(t.Context()); !errors.Is(err, steps.ErrRolledBack) {
		t.Errorf("unexpected error: %v", err)
	}
	e.checkShared()
}

func TestImport_WaitsForWebhooks(t *testing.T) {
	e := newTestEnv(t)
	configuration := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "slow"}}
	for _, webhook := range []struct {
		group   string
		timeout *int32
	}{{"apps", ptr.To[int32](25)}, {"batch", ptr.To[int32](5)}, {"*", nil}} {
		configuration.Webhooks = append(configuration.Webhooks, admissionv1.ValidatingWebhook{
			Rules: []admissionv1.RuleWithOperations{{Rule: admissionv1.Rule{APIGroups: []string{webhook.group}}}}, TimeoutSeconds: webhook.timeout,
		})
	}
	if _, err := e.KubeAPIServer.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), configuration, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f := &freezer{cluster: e.Cluster.Cluster}
	got, err := f.admissionTime(t.Context())
	if want := e.Timing.Settle + 10*time.Second; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestImport_BlindControllers(t *testing.T) {
	e := newTestEnv(t)
	e.BlindControllers = true
	i := e.newImport()
	i.Controllers.Timeout = 30 * time.Millisecond
	err := i.Run(t.Context())
	if err == nil || isOneOf(err, steps.ErrNothingChanged, steps.ErrRolledBack) || !strings.Contains(err.Error(), "Restart kube-controller-manager") {
		t.Errorf("unexpected error: %v", err)
	}
	e.checkDedicated()
	e.BlindControllers = false
	delete(e.want, "jobs/default/after")
	e.forget("jobs/default/after")
	if err := e.runImport(); err != nil {
		t.Errorf("repeated: %v", err)
	}
	e.checkDedicated()
}

func TestImport_WithoutControllersCheck(t *testing.T) {
	e := newTestEnv(t)
	i := e.newImport()
	i.Controllers.Timeout = 0
	if err := i.Run(t.Context()); err != nil || e.result("canary").Detail != skipped || e.result("controllers").Detail != skipped {
		t.Errorf("unexpected error or result: %v, %+v", err, e.results)
	}
}

// The plugin was killed after the takeover, and an admin lifted the freeze. Clients have written
// to the dedicated etcd, so a rollback must fail.
func TestImport_FreezeLiftedAfterKill(t *testing.T) {
	e := newTestEnv(t)
	err := e.RunWithFaultAt("kube-apiserver patch apiservices v1.batch", fake.KillAfter, e.runImport)
	if !errors.Is(err, fake.ErrKilled) || !e.TakenOver() {
		t.Fatalf("not killed after the takeover: %v", err)
	}
	e.lift(policy.FreezeName)
	if !e.write("acknowledged") {
		t.Fatal("writes are denied")
	}
	if err := e.newRollback().Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "run kubectl batchgate import --resume") {
		t.Errorf("rollback: %v", err)
	}
	if err := e.runImport(); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "set --resume to finish it") {
		t.Errorf("import: %v", err)
	}
	i := e.newImport()
	i.Resume = true
	if err := i.Run(t.Context()); err != nil {
		t.Errorf("import --resume: %v", err)
	}
	e.checkDedicated()
}

// The guard was deleted by hand.
func TestImport_RecreatesGuard(t *testing.T) {
	e := imported(t)
	e.lift(policy.GuardName)
	if err := e.runImport(); err != nil || e.result("guard").Detail != "created" {
		t.Errorf("unexpected error or result: %v, %+v", err, e.result("guard"))
	}
	e.checkDedicated()
}

// The flags name an etcd that Batchgate does not use.
func TestImport_RepeatedWithOtherEtcd(t *testing.T) {
	e := imported(t)
	i := e.newImport()
	i.Etcd = e.shared
	if err := i.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "does not have the Jobs of this cluster") {
		t.Errorf("unexpected error: %v", err)
	}
}

// If a rollback starts while an import waits for controllers, the freeze of the rollback must stay.
func TestImport_RepeatedDuringRollback(t *testing.T) {
	e := imported(t)
	e.Timing.Switch = 20 * time.Millisecond
	frozen := false
	e.After = func(request string) error {
		if request == `dedicated etcd put "/batchgate.io/import"` && !frozen {
			frozen = true
			p, binding := cluster.Freeze.Objects()
			if err := errors.Join(e.KubeAPIServer.Tracker().Add(p), e.KubeAPIServer.Tracker().Add(binding)); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	if err := e.runImport(); err == nil || !strings.Contains(err.Error(), "waiting for writes to be allowed") {
		t.Errorf("unexpected error: %v", err)
	}
	if !e.has(policy.FreezeName) {
		t.Error("the freeze of the rollback was ended")
	}
}
