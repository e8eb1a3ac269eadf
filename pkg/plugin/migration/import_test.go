// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	before, after := values(t, e.etcds.shared), values(t, e.etcds.dedicated)
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
	var all []string
	for _, resource := range cluster.BatchResources {
		response, err := client.Get(t.Context(), policy.DefaultEtcdPrefix+"/"+resource+"/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range response.Kvs {
			all = append(all, string(kv.Key)+"="+string(kv.Value))
		}
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
	if got := values(t, e.etcds.dedicated); len(got) > 0 {
		t.Errorf("the dedicated etcd has %q", got)
	}
	e.checkShared()
}

func TestImport_Overwrite(t *testing.T) {
	e := newTestEnv(t)
	for _, job := range []string{"stale", "pi"} {
		if err := (etcdStorage{e.etcds.dedicated}).Put("jobs", newJob(job)); err != nil {
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

// One of two kube-apiservers cannot reach Batchgate.
func TestImport_CutOffKubeAPIServer(t *testing.T) {
	e := newTestEnv(t)
	err := e.SetKubeAPIServers(func(address string) (cluster.Server, error) {
		if address == fake.SecondKubeAPIServer {
			return e.CutOff(), nil
		}
		return e.KubeAPIServer, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	i := e.newImport()
	i.Timeout = 100 * time.Millisecond
	if err := i.Run(t.Context()); !errors.Is(err, steps.ErrRolledBack) || !strings.Contains(err.Error(), "kube-apiserver at "+fake.SecondKubeAPIServer+": listing Jobs") {
		t.Errorf("unexpected error: %v", err)
	}
	e.checkShared()
}

// Batchgate cannot call a webhook behind a headless Service.
func TestImport_HeadlessWebhook(t *testing.T) {
	e := newTestEnv(t)
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "hooks", Name: "jobs"},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone},
	}
	configuration := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "jobs"}, Webhooks: []admissionv1.ValidatingWebhook{{
		Name:         "jobs.example.com",
		ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "hooks", Name: "jobs"}},
		Rules:        []admissionv1.RuleWithOperations{{Rule: admissionv1.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}}}},
	}}}
	if err := errors.Join(e.KubeAPIServer.Tracker().Add(service), e.KubeAPIServer.Tracker().Add(configuration)); err != nil {
		t.Fatal(err)
	}
	err := e.runImport()
	if got := e.result("webhooks").Error; !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(got, "webhook jobs/jobs.example.com: its Service hooks/jobs is headless") {
		t.Errorf("unexpected error: %v, %s", err, got)
	}
	e.checkShared()
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
	if err := e.newRollback().Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "run kubectl batchgate import --etcd-servers=<etcd of Batchgate> --resume") {
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

// If a rollback freezes writes while an import is repeated, the freeze of the rollback must stay.
func TestImport_RepeatedDuringRollback(t *testing.T) {
	e := imported(t)
	e.Timing.Switch = 20 * time.Millisecond
	frozen := false
	e.After = func(request string) error {
		if request == `dedicated etcd put "/batchgate.io/import"` && !frozen {
			frozen = true
			p, binding := cluster.Freeze.Objects()
			binding.UID = "other"
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
