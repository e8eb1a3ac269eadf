// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// lineWith returns the first line that contains the text.
func lineWith(lines, text string) string {
	for line := range strings.Lines(lines) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// values returns the values of an installation of a topology, changed by values in YAML.
func values(t *testing.T, topology, changes string) map[string]any {
	t.Helper()
	all := Installation{Topology: topology}.Values()
	var changed map[string]any
	if err := yaml.UnmarshalStrict([]byte(changes), &changed); err != nil {
		t.Fatal(err)
	}
	maps.Copy(all, changed)
	return all
}

func TestChartAppliesValues(t *testing.T) {
	for name, tc := range map[string]struct {
		topology, values string
		object           string
		// lines must be in the manifest of the object, in this order.
		lines []string
		// absent must not be in it.
		absent string
	}{
		"image from another registry": {
			topology: "base", values: `image: {repository: registry.example.com/gate, tag: v1, pullPolicy: Always}`,
			object: "Deployment batchgate-system/batchgate-apiserver",
			lines:  []string{"image: registry.example.com/gate:v1", "imagePullPolicy: Always"},
		},
		"default image": {
			topology: "base", values: `image: {}`,
			object: "Deployment batchgate-system/batchgate-apiserver",
			lines:  []string{"image: ghcr.io/batchgate/batchgate-apiserver:v"},
		},
		"pull secrets and placement of the server": {
			topology: "base", values: `{imagePullSecrets: [{name: registry}], nodeSelector: {disk: ssd}, tolerations: [{key: infra}], affinity: {nodeAffinity: {}}}`,
			object: "Deployment batchgate-system/batchgate-apiserver",
			lines:  []string{"nodeAffinity: {}", "- name: registry", "disk: ssd", "- key: infra"},
			absent: "podAntiAffinity",
		},
		"pull secrets and placement of etcd": {
			topology: "dedicated-etcd", values: `{imagePullSecrets: [{name: registry}], nodeSelector: {disk: ssd}, affinity: {nodeAffinity: {}}}`,
			object: "StatefulSet batchgate-system/batchgate-etcd",
			lines:  []string{"podAntiAffinity:", "- name: registry", "disk: ssd"},
			absent: "nodeAffinity",
		},
		"flags": {
			topology: "base", values: `{featureGates: {B: false, A: true}, extraArgs: [--v=2, --v=3]}`,
			object: "Deployment batchgate-system/batchgate-apiserver",
			lines:  []string{"- --disable-http2-serving=true", "- --feature-gates=A=true,B=false", "- --v=2", "- --v=3"},
		},
		"files and variables": {
			topology: "base",
			values:   `{extraEnv: [{name: GOMEMLIMIT, value: 900MiB}], extraVolumes: [{name: tracing, configMap: {name: tracing}}], extraVolumeMounts: [{name: tracing, mountPath: /etc/tracing}]}`,
			object:   "Deployment batchgate-system/batchgate-apiserver",
			lines:    []string{"- name: GOMEMLIMIT", "- mountPath: /etc/tracing", "- configMap:"},
		},
		"resources": {
			topology: "base", values: `resources: {limits: {memory: 4Gi}}`,
			object: "Deployment batchgate-system/batchgate-apiserver",
			lines:  []string{"memory: 4Gi", "cpu: 100m"},
		},
		"replicas": {
			topology: "base", values: `replicas: 3`,
			object: "Deployment batchgate-system/batchgate-apiserver", lines: []string{"replicas: 3"},
		},
		"replicas in the alert": {
			topology: "base", values: `{replicas: 3, monitoring: {enabled: true}}`,
			object: "PrometheusRule batchgate-system/batchgate-apiserver",
			lines:  []string{`expr: sum(up{job="batchgate-apiserver"}) < 3`},
		},
		"labels for Prometheus": {
			topology: "base", values: `monitoring: {enabled: true, labels: {release: main}, prometheus: {namespace: prom, serviceAccount: scraper}}`,
			object: "ServiceMonitor batchgate-system/batchgate-apiserver", lines: []string{"release: main"},
		},
		"account of Prometheus": {
			topology: "base", values: `monitoring: {enabled: true, prometheus: {namespace: prom, serviceAccount: scraper}}`,
			object: "ClusterRoleBinding /batchgate-prometheus", lines: []string{"name: scraper", "namespace: prom"},
		},
		"audit policy": {
			topology: "base", values: `audit: {enabled: true, policy: {rules: [{level: Request}]}}`,
			object: "ConfigMap batchgate-system/batchgate-audit-policy", lines: []string{"- level: Request"}, absent: "Metadata",
		},
		"disruption budget": {
			topology: "base", values: `{podDisruptionBudget: {maxUnavailable: 50%}}`,
			object: "PodDisruptionBudget batchgate-system/batchgate-apiserver", lines: []string{"maxUnavailable: 50%"},
		},
		"several servers": {
			topology: "base", values: `etcd: {servers: ["https://10.0.0.1:2379", "https://10.0.0.2:2379"], clientSecret: other}`,
			object: "ConfigMap batchgate-system/batchgate-etcd", lines: []string{"servers: https://10.0.0.1:2379,https://10.0.0.2:2379"},
		},
		"client certificate": {
			topology: "base", values: `etcd: {servers: ["https://10.0.0.1:2379"], clientSecret: other}`,
			object: "Deployment batchgate-system/batchgate-apiserver", lines: []string{"secretName: other"}, absent: "batchgate-etcd-client",
		},
		"volumes of etcd": {
			topology: "dedicated-etcd", values: `etcd: {storage: {size: 16Gi, className: fast}, image: {repository: mirror/etcd, tag: v9}}`,
			object: "StatefulSet batchgate-system/batchgate-etcd", lines: []string{"image: mirror/etcd:v9", "storage: 16Gi", "storageClassName: fast"},
		},
		"volume of the sandbox": {
			topology: standalone, values: `etcd: {storage: {size: 2Gi}}`,
			object: "StatefulSet batchgate-system/batchgate-standalone", lines: []string{"storage: 2Gi"},
		},
		"own CA": {
			topology: "base", values: `certificates: {caBundle: "-----BEGIN CERTIFICATE-----\n"}`,
			object: "APIService /v1alpha1.policy.batchgate.io", lines: []string{"caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="},
		},
		"policies only for selected users": {
			topology: "base", values: `policyAPI: {aggregateToAdmin: false}`,
			object: "ClusterRole /batchgate-policies-admin", lines: []string{"name: batchgate-policies-admin"}, absent: "aggregate-to-admin",
		},
		"kubectl apply": {
			topology: "base", values: `kubectlApply: {enabled: true, subjects: [{kind: Group, name: dev}], namespaceSelector: {matchLabels: {team: a}}}`,
			object: "JobUpdatePolicy /batchgate-kubectl-apply",
			lines:  []string{`- metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`, "team: a", "- kind: Group", "name: dev"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"--no-hooks"}
			if strings.HasPrefix(tc.object, "JobUpdatePolicy") {
				args = []string{"--show-only=templates/kubectl-apply.yaml", "--api-versions=policy.batchgate.io/v1alpha1/JobUpdatePolicy"}
			}
			object := render(t, programs[0], "batchgate-system", values(t, tc.topology, tc.values), args...)[tc.object]
			if object == nil {
				t.Fatalf("%s is missing", tc.object)
			}
			manifest, err := yaml.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			rest := string(manifest)
			for _, line := range tc.lines {
				var found bool
				if _, rest, found = strings.Cut(rest, line); !found {
					t.Fatalf("%q is missing or in another order:\n%s", line, manifest)
				}
			}
			if tc.absent != "" && strings.Contains(string(manifest), tc.absent) {
				t.Errorf("%q is present:\n%s", tc.absent, manifest)
			}
		})
	}
}

// Without the API of the policies, Helm could not create the policy and the installation would fail.
func TestChartOmitsPolicyWithoutAPI(t *testing.T) {
	rendered, err := programs[0].Template(t.Context(), "batchgate-system", values(t, "base", `kubectlApply: {enabled: true}`))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(rendered, "kind: JobUpdatePolicy") {
		t.Error("the chart renders a JobUpdatePolicy although the cluster has no such API")
	}
}

func TestChartPolicyEqualsComponent(t *testing.T) {
	manifest, err := os.ReadFile("../../artifacts/components/kubectl-apply/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	component, err := Parse(string(manifest))
	if err != nil {
		t.Fatal(err)
	}
	const key = "JobUpdatePolicy /batchgate-kubectl-apply"
	chart := render(t, programs[0], "batchgate-system", values(t, "base", `kubectlApply: {enabled: true}`),
		"--show-only=templates/kubectl-apply.yaml", "--api-versions=policy.batchgate.io/v1alpha1/JobUpdatePolicy")
	if diff := cmp.Diff(component[key].Object["spec"], chart[key].Object["spec"]); diff != "" {
		t.Errorf("the policy of the chart (+) differs from artifacts/components/kubectl-apply (-):\n%s", diff)
	}
}

// The notes of the chart create the Secret from the files that docs/tasks/install.md creates.
func TestChartNotesMatchPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/tasks/install.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := yaml.Marshal(values(t, "base", `etcd: {servers: ["https://10.0.0.1:2379"]}`))
	if err != nil {
		t.Fatal(err)
	}
	// Helm 3 cannot print the notes without a cluster.
	output, err := programs[0].Run(t.Context(), string(all), "install", Release, "artifacts/chart", "--namespace=batchgate-system", "--dry-run=client", "--values=-")
	if err != nil {
		t.Fatal(err)
	}
	_, notes, _ := strings.Cut(output, "NOTES:")
	line := strings.TrimSpace(lineWith(notes, "--from-file="))
	if line == "" || !strings.Contains(string(page), line) {
		t.Errorf("docs/tasks/install.md does not contain %q of the notes:\n%s", line, notes)
	}
}

func TestChartRejectsValues(t *testing.T) {
	for name, tc := range map[string]struct {
		topology, values, namespace string
		texts                       []string
	}{
		"unknown topology":            {topology: "own-etcd", texts: []string{"/topology", "'base', 'batch-etcd', 'dedicated-etcd', 'shared-etcd', 'standalone'"}},
		"misspelled value":            {topology: "base", values: `replica: 3`, texts: []string{"additional properties 'replica' not allowed"}},
		"misspelled nested value":     {topology: "base", values: `audit: {enable: true}`, texts: []string{"/audit", "additional properties 'enable' not allowed"}},
		"removed value":               {topology: "base", values: `audit: null`, texts: []string{"missing property 'audit'"}},
		"no replica":                  {topology: "base", values: `replicas: 0`, texts: []string{"/replicas", "minimum"}},
		"text as number":              {topology: "base", values: `replicas: "2"`, texts: []string{"/replicas", "got string, want integer"}},
		"unencrypted etcd":            {topology: "base", values: `etcd: {servers: ["http://10.0.0.1:2379"]}`, texts: []string{`etcd.servers: "http://10.0.0.1:2379" must be a URL like https://10.0.0.21:2379`}},
		"etcd without a scheme":       {topology: "batch-etcd", values: `etcd: {servers: ["10.0.0.1:2379"]}`, texts: []string{`etcd.servers: "10.0.0.1:2379" must be a URL like https://`}},
		"several URLs in one":         {topology: "base", values: `etcd: {servers: ["https://10.0.0.1:2379,https://10.0.0.2:2379"]}`, texts: []string{`must be a URL like https://`}},
		"etcd at localhost":           {topology: "base", values: `etcd: {servers: ["https://10.0.0.1:2379", "https://LOCALHOST:2379"]}`, texts: []string{`etcd.servers: "https://LOCALHOST:2379" must be a URL that Pods reach`}},
		"etcd at a loopback address":  {topology: "batch-etcd", values: `etcd: {servers: ["https://127.0.0.1:2379"]}`, texts: []string{`"https://127.0.0.1:2379" must be a URL that Pods reach`}},
		"etcd at an IPv6 loopback":    {topology: "base", values: `etcd: {servers: ["https://[::1]:2379"]}`, texts: []string{`"https://[::1]:2379" must be a URL that Pods reach`}},
		"servers as text":             {topology: "base", values: `etcd: {servers: "https://10.0.0.1:2379"}`, texts: []string{"/etcd/servers", "got string, want array"}},
		"flag without dashes":         {topology: "base", values: `extraArgs: [v=2]`, texts: []string{"/extraArgs/0", "'v=2' does not match"}},
		"gate that is no boolean":     {topology: "base", values: `featureGates: {A: "yes"}`, texts: []string{"/featureGates/A", "got string, want boolean"}},
		"CA that is no PEM":           {topology: "base", values: `certificates: {caBundle: LS0t}`, texts: []string{"/certificates/caBundle"}},
		"unknown subject":             {topology: "base", values: `kubectlApply: {subjects: [{kind: Role, name: a}]}`, texts: []string{"/kubectlApply/subjects/0/kind", "'User', 'Group', 'ServiceAccount'"}},
		"invalid size":                {topology: "dedicated-etcd", values: `etcd: {storage: {size: large}}`, texts: []string{"/etcd/storage/size"}},
		"no servers":                  {topology: "base", values: `etcd: {}`, texts: []string{"etcd.servers: the topology base needs the URLs"}},
		"servers with dedicated etcd": {topology: "dedicated-etcd", values: `etcd: {servers: ["https://10.0.0.1:2379"]}`, texts: []string{"etcd.servers: must be empty"}},
		"two sources of the CA":       {topology: "base", values: `certificates: {certManager: true, caBundle: "-----BEGIN CERTIFICATE-----"}`, texts: []string{"certificates.caBundle: must be empty, because cert-manager"}},
		"audit of static Pods":        {topology: "shared-etcd", values: `{audit: {enabled: true}, extraArgs: [--v=2]}`, texts: []string{"audit.enabled: the topology shared-etcd does not support it: add it to the file of the static Pod", "extraArgs: "}},
		"monitoring of a sandbox":     {topology: standalone, values: `{monitoring: {enabled: true}, certificates: {certManager: true}}`, texts: []string{"monitoring.enabled: the topology standalone does not support it", "certificates.certManager: "}},
		"namespace default":           {topology: "base", namespace: "default", texts: []string{"--namespace=batchgate-system --create-namespace"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := tc.namespace
			if namespace == "" {
				namespace = "batchgate-system"
			}
			for _, helm := range programs {
				_, err := helm.Template(t.Context(), namespace, values(t, tc.topology, tc.values))
				if err == nil {
					t.Fatalf("%s accepts the values", helm.Name)
				}
				for _, text := range tc.texts {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("error does not contain %q: %v", text, err)
					}
				}
			}
		})
	}
}
