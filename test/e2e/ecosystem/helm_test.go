// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"fmt"
	"testing"

	"github.com/batchgate/batchgate/test/chart"
)

// testChart is a chart with one Job, which has the name of the release.
const testChart = "test/e2e/ecosystem/testdata/chart"

// helmTools returns the supported versions of Helm.
func helmTools(t *testing.T) []tool {
	programs, err := chart.Programs(t.Context(), cluster.Kubeconfig, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var tools []tool
	for i, helm := range programs {
		source, err := downloadModule(t.Context(), "helm", fmt.Sprintf("helm.sh/helm/v%d", 4-i))
		if err != nil {
			t.Fatal(err)
		}
		tools = append(tools, tool{
			name: "Helm", version: source.Version, policy: examplePolicyFile("helm"),
			run: func(r *toolRun) { r.runHelm(helm) },
		})
	}
	return tools
}

// runHelm acts as a user of the group in the example policy.
func (r *toolRun) runHelm(helm chart.Helm) {
	r.t.Helper()
	run := func(args ...string) (string, error) {
		return helm.Run(r.t.Context(), "", append(args, "--namespace="+r.namespace, "--kube-as-user=alice", "--kube-as-group=deployers", "--kube-as-group=system:masters")...)
	}
	step := func(name string, args ...string) {
		r.t.Helper()
		_, err := run(args...)
		r.record(name, err)
	}
	step("`install`", "install", "report", testChart)
	step("`upgrade`, other labels and `parallelism`", "upgrade", "report", testChart, "--set=tier=b,parallelism=2")
	step("`upgrade`, other `suspend`", "upgrade", "report", testChart, "--set=tier=b,parallelism=2,suspend=true")
	step("`rollback`", "rollback", "report", "1")
	rendered, err := run("template", "existing", testChart)
	if err != nil {
		r.t.Fatal(err)
	}
	r.create(rendered)
	step("`install --take-ownership` of an existing Job", "install", "existing", testChart, "--take-ownership")
	step("`uninstall`", "uninstall", "report", "existing")
}
