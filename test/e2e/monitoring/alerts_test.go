// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/test/framework"
)

// healthySeries are the time series of a healthy installation over two hours, in the notation of
// promtool's unit tests. Scenarios replace them by key.
var healthySeries = map[string]string{
	"first":        `up{job="batchgate-apiserver", instance="a"} 1x120`,
	"second":       `up{job="batchgate-apiserver", instance="b"} 1x120`,
	"batch":        `aggregator_unavailable_apiservice{name="v1.batch", job="apiserver"} 0x120`,
	"policies":     `aggregator_unavailable_apiservice{name="v1alpha1.policy.batchgate.io", job="apiserver"} 0x120`,
	"requests":     `apiserver_request_total{job="batchgate-apiserver", instance="a", verb="PATCH", code="200"} 0+6000x120`,
	"failed":       `apiserver_request_total{job="batchgate-apiserver", instance="a", verb="PATCH", code="503"} 0+6x120`,
	"throttled":    `apiserver_request_total{job="batchgate-apiserver", instance="a", verb="PATCH", code="429"} 0+1x120`,
	"fast":         `apiserver_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", verb="PATCH", le="0.1"} 0+6000x120`,
	"slow":         `apiserver_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", verb="PATCH", le="10"} 0+6010x120`,
	"all":          `apiserver_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", verb="PATCH", le="+Inf"} 0+6010x120`,
	"allowed":      `batchgate_job_update_decisions_total{job="batchgate-apiserver", instance="a", decision="allow"} 0+100x120`,
	"denied":       `batchgate_job_update_decisions_total{job="batchgate-apiserver", instance="a", decision="deny"} 0+10x120`,
	"not ready":    `batchgate_job_update_policies{job="batchgate-apiserver", instance="a", ready="false"} 0x120`,
	"up to date":   `batchgate_job_update_policies_up_to_date{job="batchgate-apiserver", instance="a"} 1x120`,
	"certificate":  `batchgate_certificate_expiration_timestamp_seconds{job="batchgate-apiserver", instance="a", certificate="serving"} 1002592000x120`,
	"etcd client":  `batchgate_certificate_expiration_timestamp_seconds{job="batchgate-apiserver", instance="a", certificate="etcd-client"} 1002592000x120`,
	"contact":      `batchgate_kube_apiserver_last_contact_timestamp_seconds{job="batchgate-apiserver", instance="a"} 999992800+60x120`,
	"watch":        `batchgate_informer_last_watch_timestamp_seconds{job="batchgate-apiserver", instance="a", resource="namespaces"} 999992800+60x120`,
	"skew":         `batchgate_kube_apiserver_version_skew_minors{job="batchgate-apiserver", instance="a"} 0x120`,
	"etcd fast":    `etcd_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", operation="get", le="0.1"} 0+6000x120`,
	"etcd slow":    `etcd_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", operation="get", le="5"} 0+6010x120`,
	"etcd all":     `etcd_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", operation="get", le="+Inf"} 0+6010x120`,
	"etcd":         `etcd_requests_total{job="batchgate-apiserver", instance="a", operation="get"} 0+6010x120`,
	"etcd failing": `etcd_request_errors_total{job="batchgate-apiserver", instance="a", operation="get"} 0+6x120`,
}

// withValues returns a healthy series with other values.
func withValues(name, values string) string {
	series := healthySeries[name]
	return series[:strings.LastIndex(series, " ")+1] + values
}

func TestAlertsFire(t *testing.T) {
	t.Parallel()
	manifests := monitoringManifests(t)
	tested := map[string]bool{}
	var all []string
	for name, tc := range map[string]struct {
		series map[string]string
		want   []string
	}{
		"healthy":                  {},
		"counters not created yet": {series: map[string]string{"denied": "", "failed": "", "throttled": "", "etcd failing": ""}},
		"all replicas down": {
			map[string]string{"first": withValues("first", "1x110 0x10"), "second": withValues("second", "1x110 0x10")},
			[]string{"BatchgateDown", "BatchgateTooFewReplicas"},
		},
		"no targets": {map[string]string{"first": "", "second": ""}, []string{"BatchgateDown"}},
		"replica restarted": {
			series: map[string]string{"first": withValues("first", "1x110 0 1x9"), "up to date": withValues("up to date", "1x118 0 0")},
		},
		"one replica left": {map[string]string{"second": withValues("second", "1x100 0x20")}, []string{"BatchgateTooFewReplicas"}},
		"unreachable for kube-apiserver": {
			map[string]string{"batch": withValues("batch", "0x118 1 1"), "policies": withValues("policies", "0x114 1x6")},
			[]string{"BatchgateUnavailable", "BatchgatePoliciesUnavailable"},
		},
		"many failed requests":      {map[string]string{"failed": withValues("failed", "0+600x120")}, []string{"BatchgateServerErrors"}},
		"throttled requests":        {map[string]string{"throttled": withValues("throttled", "0+60x120")}, []string{"BatchgateOverloaded"}},
		"slow requests":             {map[string]string{"slow": withValues("slow", "0+6600x120"), "all": withValues("all", "0+6600x120")}, []string{"BatchgateSlow"}},
		"many denied updates":       {map[string]string{"denied": withValues("denied", "0+50x120")}, []string{"BatchgateDeniesManyUpdates"}},
		"one denied of few updates": {series: map[string]string{"allowed": withValues("allowed", "0x119 1"), "denied": withValues("denied", "0x90 1x30")}},
		"policy not ready":          {map[string]string{"not ready": withValues("not ready", "0x110 1x10")}, []string{"BatchgatePolicyNotReady"}},
		"policies out of date":      {map[string]string{"up to date": withValues("up to date", "1x110 0x10")}, []string{"BatchgatePoliciesOutOfDate"}},
		"certificate expires soon":  {map[string]string{"certificate": withValues("certificate", "1000864000x120")}, []string{"BatchgateCertificateExpiresSoon"}},
		"certificate renewed":       {series: map[string]string{"certificate": withValues("certificate", "1000864000x119 1002592000")}},
		"certificate expires tomorrow": {
			map[string]string{"certificate": withValues("certificate", "1000086400x120")},
			[]string{"BatchgateCertificateExpires", "BatchgateCertificateExpiresSoon"},
		},
		"etcd client certificate expires soon": {map[string]string{"etcd client": withValues("etcd client", "1000864000x120")}, []string{"BatchgateCertificateExpiresSoon"}},
		"replica cut off":                      {map[string]string{"contact": withValues("contact", "999992800+60x110 999999400x10")}, []string{"BatchgateCutOff"}},
		"kube-apiserver restarted":             {series: map[string]string{"contact": withValues("contact", "999992800+60x116 999999760 999999760 1000000000 1000000000")}},
		"watch fails":                          {map[string]string{"watch": withValues("watch", "999992800+60x90 999998200x30")}, []string{"BatchgateInformerStale"}},
		"upgrade":                              {series: map[string]string{"skew": withValues("skew", "0x90 1x30")}},
		"upgrade not finished":                 {map[string]string{"skew": withValues("skew", "-1x120")}, []string{"BatchgateVersionSkew"}},
		"two minors apart":                     {map[string]string{"skew": withValues("skew", "2x120")}, []string{"BatchgateVersionSkew", "BatchgateVersionSkewUnsupported"}},
		"slow etcd": {
			map[string]string{"etcd slow": withValues("etcd slow", "0+6600x120"), "etcd all": withValues("etcd all", "0+6600x120")}, []string{"BatchgateEtcdSlow"},
		},
		"failing etcd": {map[string]string{"etcd failing": withValues("etcd failing", "0+600x120")}, []string{"BatchgateEtcdErrors"}},
	} {
		request := framework.PromQLRequest{Time: 1e9, Manifests: manifests}
		series := maps.Clone(healthySeries)
		maps.Copy(series, tc.series)
		for _, line := range series {
			if line != "" {
				request.Series = append(request.Series, line)
			}
		}
		response, err := framework.PromQL(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		all = nil
		for _, alert := range response.Alerts {
			all = append(all, alert.Name)
			for _, firing := range alert.Firing {
				got = append(got, alert.Name)
				t.Logf("%s: %s: %s", name, alert.Name, firing.Annotations["summary"])
				for _, text := range firing.Annotations {
					if strings.Contains(text, "<no value>") || !strings.Contains(firing.Annotations["description"], "kubectl") {
						t.Errorf("annotations of %s are incomplete or contain no kubectl command: %v", alert.Name, firing.Annotations)
					}
				}
			}
		}
		slices.Sort(got)
		slices.Sort(tc.want)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: firing alerts differ (-want +got):\n%s", name, diff)
		}
		for _, alert := range tc.want {
			tested[alert] = true
		}
	}
	for _, alert := range all {
		if !tested[alert] {
			t.Errorf("no scenario tests alert %s", alert)
		}
	}
}
