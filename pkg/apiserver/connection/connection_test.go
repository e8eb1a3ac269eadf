// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// newMonitor returns a Monitor of a server that answers /version with the body. Without a body
// the server fails.
func newMonitor(t *testing.T, body *string) *Monitor {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" || *body == "" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, *body)
	}))
	t.Cleanup(server.Close)
	client, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return New(client.RESTClient(), version.MustParse("1.37"), 5*time.Minute)
}

func TestMonitor_Check(t *testing.T) {
	body := `{"major":"1","minor":"37","emulationMajor":"1","emulationMinor":"37","gitVersion":"v1.37.2"}`
	m := newMonitor(t, &body)
	now := time.Now()
	m.now = func() time.Time { return now }
	if err := m.ApplyTo(&genericapiserver.NewRecommendedConfig(legacyscheme.Codecs).Config); err != nil {
		t.Fatal(err)
	}
	check := func(state string, ready bool, contact time.Time) {
		t.Helper()
		m.poll(t.Context())
		if err := m.Check(nil); (err == nil) != ready {
			t.Errorf("%s: Check returns %v, want ready %t", state, err, ready)
		}
		if got, _ := testutil.GetGaugeMetricValue(lastContact); got != float64(contact.Unix()) {
			t.Errorf("%s: last contact is %v, want %d", state, got, contact.Unix())
		}
	}
	started := now
	answer := body
	body = ""
	check("not reached yet", true, started)
	if err := m.CheckSkew(); err != nil {
		t.Errorf("before the first poll: CheckSkew returns %v", err)
	}
	body = answer
	now = now.Add(time.Minute)
	reached := now
	check("reached", true, reached)
	body = ""
	now = now.Add(5 * time.Minute)
	check("cut off, before the timeout", true, reached)
	now = now.Add(time.Second)
	check("cut off, after the timeout", false, reached)
	body = answer
	check("reached again", true, now)
}

func TestMonitor_RecordVersion(t *testing.T) {
	for name, tc := range map[string]struct {
		body, wantInfo string
		wantSkew       float64
	}{
		"same":          {`{"major":"1","minor":"37","emulationMajor":"1","emulationMinor":"37","gitVersion":"v1.37.2"}`, `git_version="v1.37.2"`, 0},
		"older":         {`{"major":"1","minor":"36","emulationMajor":"1","emulationMinor":"36","gitVersion":"v1.36.3"}`, `emulation_version="1.36"`, -1},
		"newer by one":  {`{"major":"1","minor":"38","emulationMajor":"1","emulationMinor":"38","gitVersion":"v1.38.0"}`, `emulation_version="1.38"`, 1},
		"newer":         {`{"major":"1","minor":"39","emulationMajor":"1","emulationMinor":"39","gitVersion":"v1.39.0"}`, `emulation_version="1.39"`, 2},
		"emulates":      {`{"major":"1","minor":"38","emulationMajor":"1","emulationMinor":"37","gitVersion":"v1.38.0"}`, `git_version="v1.38.0"`, 0},
		"no emulation":  {`{"major":"1","minor":"30+","gitVersion":"v1.30.1-eks-1"}`, `emulation_version="1.30"`, -7},
		"vendor suffix": {`{"major":"1","minor":"36","emulationMajor":"1","emulationMinor":"36+","gitVersion":"v1.36.3-gke.1"}`, `emulation_version="1.36"`, -1},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMonitor(t, &tc.body)
			m.poll(t.Context())
			if m.failing {
				t.Fatal("the poll failed")
			}
			if got, err := testutil.GetGaugeMetricValue(versionSkew); err != nil || got != tc.wantSkew {
				t.Errorf("skew is %v, %v, want %v", got, err, tc.wantSkew)
			}
			if err := m.CheckSkew(); (err != nil) != (tc.wantSkew > 1) {
				t.Errorf("CheckSkew returns %v with a skew of %v", err, tc.wantSkew)
			}
			info := series(t, "batchgate_kube_apiserver_version_info")
			if len(info) != 1 || !strings.Contains(info[0], tc.wantInfo) {
				t.Errorf("got %q, want one series with %s", info, tc.wantInfo)
			}
		})
	}
}

func TestRecordWatches(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "secret") {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	client := &http.Client{Transport: RecordWatches(http.DefaultTransport)}
	for path, want := range map[string]string{
		"/api/v1/namespaces":                    "namespaces",
		"/apis/a.example.com/v1/things?watch=1": "things.a.example.com",
		"/api/v1/secrets":                       "",
		"/api/v1/namespaces/a":                  "",
		"/version":                              "",
	} {
		lastWatch.Reset()
		resp, err := client.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		var wanted []string
		if want != "" {
			wanted = []string{fmt.Sprintf("resource=%q", want)}
		}
		if got := series(t, "batchgate_informer_last_watch_timestamp_seconds"); !slices.Equal(got, wanted) {
			t.Errorf("%s: got %q, want %q", path, got, wanted)
		}
	}
}

// series returns the labels of each series of a metric.
func series(t *testing.T, name string) []string {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
			}
			all = append(all, strings.Join(labels, ","))
		}
	}
	return all
}
