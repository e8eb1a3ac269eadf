// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// monitoringManifests renders artifacts/base with the monitoring component.
func monitoringManifests(t *testing.T) string {
	t.Helper()
	manifests, _, err := cluster.Kubectl().Run(t.Context(), "kustomize", "test/framework/monitoring")
	if err != nil {
		t.Fatal(err)
	}
	return manifests
}

// dashboardQueries returns the queries of the dashboard with its variables replaced.
func dashboardQueries(t *testing.T) []string {
	t.Helper()
	dashboard, err := framework.ReadDashboard()
	if err != nil {
		t.Fatal(err)
	}
	queries := dashboard.VariableQueries()
	for _, panel := range dashboard.Panels {
		if panel.Type == "row" {
			continue
		}
		if len(panel.Targets) == 0 || panel.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q has no queries or does not use the variable datasource", panel.Title)
		}
		queries = append(queries, panel.Queries("5m")...)
	}
	return queries
}

func scrape(t *testing.T, config *rest.Config) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	text, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sendTraffic sends one update per decision, a read that fails in etcd, and a read by a user to whom API
// Priority and Fairness applies; admins are exempt.
func sendTraffic(s, user session.Session, round int) {
	s.T.Helper()
	user.Run("get", "jobs")
	s.Run("label", "--overwrite", "job", "pi", fmt.Sprintf("round=%d", round))
	s.Run("annotate", "--overwrite", "job", "pi", fmt.Sprintf("example.com/round=%d", round))
	s.ExpectError(session.MergePatch("pi", fmt.Sprintf(`{"spec": {"activeDeadlineSeconds": %d}}`, 9000+round)), "may not be updated")
	s.ExpectError([]string{"get", "--raw=/apis/batch/v1/jobs?limit=1&resourceVersionMatch=Exact&resourceVersion=2"}, "is too old")
}

// compactEtcd compacts the first revisions of etcd, so that a read of them fails.
func compactEtcd(t *testing.T) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{cluster.EtcdURL()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Compact(t.Context(), 10); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		t.Fatal(err)
	}
}

func TestDashboardAndAlertQueriesHaveData(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	compactEtcd(t)
	s.CreateJob(session.NewJob("pi"))
	s.CreatePolicy(s.NewPolicy("warning", session.Fields("metadata.annotations"), session.Warn))
	s.RunEventually("annotate", "job", "pi", "example.com/probe=a")
	user := s.Editor("dev")
	user.RunEventually("get", "jobs")

	// The timestamps of the scrapes are invented, so that the test does not have to wait between them.
	now := time.Now()
	request := framework.PromQLRequest{Time: float64(now.Unix()), Queries: dashboardQueries(t), Manifests: monitoringManifests(t)}
	for round := range 3 {
		sendTraffic(s, user, round)
		timestamp := float64(now.Add(time.Duration(round-2) * 30 * time.Second).Unix())
		request.Scrapes = append(request.Scrapes,
			framework.Scrape{Labels: map[string]string{"job": framework.Name, "instance": "10.0.0.1:8443"}, Time: timestamp, Text: scrape(t, cluster.DirectConfig())},
			framework.Scrape{Labels: map[string]string{"job": "apiserver", "instance": "192.0.2.1:6443"}, Time: timestamp, Text: scrape(t, cluster.Config)})
	}
	response, err := framework.PromQL(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	results := response.Queries
	for _, alert := range response.Alerts {
		results = append(results, alert.Operands...)
	}
	if len(response.Queries) < 20 || len(response.Alerts) < 10 {
		t.Errorf("found only %d queries and %d alerts", len(response.Queries), len(response.Alerts))
	}
	for _, result := range results {
		for _, metric := range result.Metrics {
			if !scraped(request.Scrapes, metric) {
				t.Errorf("neither Batchgate nor kube-apiserver exposes metric %s of query %s", metric, result.Expr)
			}
		}
		if !slices.ContainsFunc(result.Series, finite) {
			t.Errorf("query %s has no finite value: %v", result.Expr, result.Series)
		}
	}
}

func finite(s framework.PromQLSample) bool {
	value, err := strconv.ParseFloat(s.Value, 64)
	return err == nil && !math.IsNaN(value) && !math.IsInf(value, 0)
}

// scraped reports whether a scrape contains the metric, or Prometheus adds it to every scrape.
func scraped(scrapes []framework.Scrape, metric string) bool {
	return metric == "up" || slices.ContainsFunc(scrapes, func(s framework.Scrape) bool {
		return strings.Contains(s.Text, "\n"+metric+"{") || strings.Contains(s.Text, "\n"+metric+" ")
	})
}
