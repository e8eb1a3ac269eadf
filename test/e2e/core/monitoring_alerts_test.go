package core

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/test/framework"
)

// well are the series of an installation that nothing is wrong with, over the last two hours.
// Each is named by what a scenario replaces it by.
var well = map[string]string{
	"first":        `up{job="batchgate-apiserver", instance="a"} 1x120`,
	"second":       `up{job="batchgate-apiserver", instance="b"} 1x120`,
	"batch":        `aggregator_unavailable_apiservice{name="v1.batch", job="apiserver"} 0x120`,
	"policies":     `aggregator_unavailable_apiservice{name="v1alpha1.policy.batchgate.io", job="apiserver"} 0x120`,
	"requests":     `apiserver_request_total{job="batchgate-apiserver", instance="a", verb="PATCH", code="200"} 0+6000x120`,
	"failed":       `apiserver_request_total{job="batchgate-apiserver", instance="a", verb="PATCH", code="503"} 0+6x120`,
	"turned away":  `apiserver_request_total{job="batchgate-apiserver", instance="a", verb="PATCH", code="429"} 0+1x120`,
	"fast":         `apiserver_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", verb="PATCH", le="0.1"} 0+6000x120`,
	"slow":         `apiserver_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", verb="PATCH", le="10"} 0+6010x120`,
	"all":          `apiserver_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", verb="PATCH", le="+Inf"} 0+6010x120`,
	"allowed":      `batchgate_job_update_decisions_total{job="batchgate-apiserver", instance="a", decision="allow"} 0+100x120`,
	"refused":      `batchgate_job_update_decisions_total{job="batchgate-apiserver", instance="a", decision="deny"} 0+10x120`,
	"not ready":    `batchgate_job_update_policies{job="batchgate-apiserver", instance="a", ready="false"} 0x120`,
	"up to date":   `batchgate_job_update_policies_up_to_date{job="batchgate-apiserver", instance="a"} 1x120`,
	"certificate":  `batchgate_serving_certificate_expiration_timestamp_seconds{job="batchgate-apiserver", instance="a"} 1002592000x120`,
	"etcd fast":    `etcd_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", operation="get", le="0.1"} 0+6000x120`,
	"etcd slow":    `etcd_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", operation="get", le="5"} 0+6010x120`,
	"etcd all":     `etcd_request_duration_seconds_bucket{job="batchgate-apiserver", instance="a", operation="get", le="+Inf"} 0+6010x120`,
	"etcd":         `etcd_requests_total{job="batchgate-apiserver", instance="a", operation="get"} 0+6010x120`,
	"etcd failing": `etcd_request_errors_total{job="batchgate-apiserver", instance="a", operation="get"} 0+6x120`,
}

// value returns the series of that name with other values.
func value(name, values string) string {
	series := well[name]
	return series[:strings.LastIndex(series, " ")+1] + values
}

func TestAlertsFireWhereSomethingIsWrong(t *testing.T) {
	t.Parallel()
	manifests := monitoringManifests(t)
	tested := map[string]bool{}
	var all []string
	for name, tc := range map[string]struct {
		series map[string]string
		want   []string
	}{
		"all is well":      {},
		"nothing was used": {series: map[string]string{"refused": "", "failed": "", "turned away": "", "etcd failing": ""}},
		"all replicas are down": {
			map[string]string{"first": value("first", "1x110 0x10"), "second": value("second", "1x110 0x10")},
			[]string{"BatchgateDown", "BatchgateTooFewReplicas"},
		},
		"it is gone": {map[string]string{"first": "", "second": ""}, []string{"BatchgateDown"}},
		"it is restarted": {
			series: map[string]string{"first": value("first", "1x110 0 1x9"), "up to date": value("up to date", "1x118 0 0")},
		},
		"one replica is left": {map[string]string{"second": value("second", "1x100 0x20")}, []string{"BatchgateTooFewReplicas"}},
		"kube-apiserver does not reach it": {
			map[string]string{"batch": value("batch", "0x118 1 1"), "policies": value("policies", "0x114 1x6")},
			[]string{"BatchgateUnavailable", "BatchgatePoliciesUnavailable"},
		},
		"many requests fail":        {map[string]string{"failed": value("failed", "0+600x120")}, []string{"BatchgateServerErrors"}},
		"requests are turned away":  {map[string]string{"turned away": value("turned away", "0+60x120")}, []string{"BatchgateOverloaded"}},
		"requests take long":        {map[string]string{"slow": value("slow", "0+6600x120"), "all": value("all", "0+6600x120")}, []string{"BatchgateSlow"}},
		"many updates are refused":  {map[string]string{"refused": value("refused", "0+50x120")}, []string{"BatchgateDeniesManyUpdates"}},
		"of few updates, one is":    {series: map[string]string{"allowed": value("allowed", "0x119 1"), "refused": value("refused", "0x90 1x30")}},
		"a policy is not known":     {map[string]string{"not ready": value("not ready", "0x110 1x10")}, []string{"BatchgatePolicyNotReady"}},
		"policies cannot be read":   {map[string]string{"up to date": value("up to date", "1x110 0x10")}, []string{"BatchgatePoliciesOutOfDate"}},
		"the certificate is old":    {map[string]string{"certificate": value("certificate", "1000864000x120")}, []string{"BatchgateServingCertificateExpiresSoon"}},
		"the certificate was wrong": {series: map[string]string{"certificate": value("certificate", "1000864000x119 1002592000")}},
		"the certificate ends": {
			map[string]string{"certificate": value("certificate", "1000086400x120")},
			[]string{"BatchgateServingCertificateExpires", "BatchgateServingCertificateExpiresSoon"},
		},
		"etcd is slow": {
			map[string]string{"etcd slow": value("etcd slow", "0+6600x120"), "etcd all": value("etcd all", "0+6600x120")}, []string{"BatchgateEtcdSlow"},
		},
		"etcd fails": {map[string]string{"etcd failing": value("etcd failing", "0+600x120")}, []string{"BatchgateEtcdErrors"}},
	} {
		request := framework.PromQLRequest{Time: 1e9, Manifests: manifests}
		series := maps.Clone(well)
		maps.Copy(series, tc.series)
		for _, one := range series {
			if one != "" {
				request.Series = append(request.Series, one)
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
						t.Errorf("%s does not say what to do: %v", alert.Name, firing.Annotations)
					}
				}
			}
		}
		slices.Sort(got)
		slices.Sort(tc.want)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: what fires (-want +got):\n%s", name, diff)
		}
		for _, alert := range tc.want {
			tested[alert] = true
		}
	}
	for _, alert := range all {
		if !tested[alert] {
			t.Errorf("no scenario makes %s fire", alert)
		}
	}
}
