package integration

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A process of its own has metrics of its own: those of servers in the test's process add up.
func TestMetricsReportPolicySync(t *testing.T) {
	t.Parallel()
	p := startStandaloneProcess(t, filepath.Join(t.TempDir(), "data"))
	says := func(line string) func(context.Context) error {
		return func(context.Context) error {
			metrics := string(p.admin.get(t, "/metrics").body)
			if !strings.Contains(metrics, "\n"+line+"\n") {
				return fmt.Errorf("the metrics do not say %s", line)
			}
			return nil
		}
	}
	for _, decision := range []string{"allow", "warn", "deny"} {
		for _, subresource := range []string{"", "status"} {
			line := fmt.Sprintf(`batchgate_job_update_decisions_total{decision=%q,subresource=%q} 0`, decision, subresource)
			if err := says(line)(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	eventually(t, "be up to date", says("batchgate_job_update_policies_up_to_date 1"))
	etcd := p.embeddedEtcd(t)
	if _, err := etcd.Put(t.Context(), policyKey("broken"), "{"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "be out of date", says("batchgate_job_update_policies_up_to_date 0"))
	if _, err := etcd.Delete(t.Context(), policyKey("broken")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "be up to date again", says("batchgate_job_update_policies_up_to_date 1"))
}

// embeddedEtcd returns a client of the etcd in the process.
func (p *process) embeddedEtcd(t *testing.T) *clientv3.Client {
	t.Helper()
	for _, variable := range p.command.Env {
		directory, ok := strings.CutPrefix(variable, "TMPDIR="+scratch)
		if !ok {
			continue
		}
		sockets, err := filepath.Glob(filepath.Join(scratch+directory, "batchgate-etcd-*", "client"))
		if err != nil || len(sockets) != 1 {
			t.Fatalf("the sockets are %q: %v", sockets, err)
		}
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + sockets[0]}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		return client
	}
	t.Fatal("the process has no TMPDIR")
	return nil
}

func TestHealthAndMetricsEndpoints(t *testing.T) {
	t.Parallel()
	p := startStandaloneProcess(t, filepath.Join(t.TempDir(), "data"))
	anonymous := p.newUserWithCertificate(nil)
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		if got := string(anonymous.get(t, path).body); got != "ok" {
			t.Errorf("%s says %q to everyone, want ok", path, got)
		}
	}
	for _, path := range []string{"/metrics", "/version", "/openapi/v2", "/apis", "/apis/batch/v1", "/debug/pprof/", "/"} {
		anonymous.do(t, request{method: http.MethodGet, path: path}).expect(t, http.StatusForbidden)
	}
	p.admin.list(t, "/apis/batch/v1/jobs", nil)
	metrics := string(p.admin.get(t, "/metrics").body)
	for _, metric := range []string{
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="batch",resource="jobs",scope="cluster",subresource="",verb="LIST",version="v1"} 1`,
		"etcd_request_duration_seconds_bucket", "go_goroutines", "kubernetes_build_info", "apiserver_storage_size_bytes",
	} {
		if !strings.Contains(metrics, metric) {
			t.Errorf("there is no metric %s", metric)
		}
	}
}
