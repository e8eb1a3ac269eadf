// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestHealthAndMetricsEndpoints(t *testing.T) {
	t.Parallel()
	p := startStandaloneProcess(t, filepath.Join(t.TempDir(), "data"))
	anonymous := p.newUserWithCertificate(nil)
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		if got := string(anonymous.get(t, path).body); got != "ok" {
			t.Errorf("%s returned %q to an anonymous user, want ok", path, got)
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
			t.Errorf("metric is missing: %s", metric)
		}
	}
	// Before the first update there is a counter for every decision.
	for _, decision := range []string{"allow", "warn", "deny"} {
		for _, subresource := range []string{"", "status"} {
			line := fmt.Sprintf(`batchgate_job_update_decisions_total{decision=%q,subresource=%q} 0`, decision, subresource)
			if !strings.Contains(metrics, "\n"+line+"\n") {
				t.Errorf("metric is missing: %s", line)
			}
		}
	}
}
