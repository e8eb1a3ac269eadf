// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"encoding/json"
	"path/filepath"
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// kubectlNamespace is the namespace in the example policy.
const kubectlNamespace = "dev"

// kubectlTools returns kubectl of each supported minor version.
func kubectlTools(t *testing.T) []tool {
	var tools []tool
	for _, module := range []string{"controlplane-1.35", "controlplane-1.36", "controlplane"} {
		directory, err := framework.BuildTools(t.Context(), module, "kubectl")
		if err != nil {
			t.Fatal(err)
		}
		k := cluster.Kubectl().WithBinary(filepath.Join(directory, "kubectl"))
		output, _, err := k.Run(t.Context(), "version", "--client", "--output=json")
		if err != nil {
			t.Fatal(err)
		}
		var version struct{ ClientVersion struct{ GitVersion string } }
		if err := json.Unmarshal([]byte(output), &version); err != nil {
			t.Fatal(err)
		}
		tools = append(tools, tool{
			name: "kubectl", version: version.ClientVersion.GitVersion, policy: examplePolicyFile("client-side-apply"), namespace: kubectlNamespace,
			run: func(r *toolRun) { r.runKubectl(k) },
		})
	}
	return tools
}

// runKubectl acts as a user of the group in the example policy.
func (r *toolRun) runKubectl(k framework.Kubectl) {
	r.t.Helper()
	step := func(name, stdin string, args ...string) {
		r.t.Helper()
		_, _, err := k.WithStdin(stdin).Run(r.t.Context(), append(args, "--namespace="+r.namespace, "--as=alice", "--as-group=dev", "--as-group=system:masters")...)
		r.record(name, err)
	}
	job := func(name string, parallelism int32) string { return manifest(r.t, toolJob(name, parallelism)) }
	step("`create`", job("created", 1), "create", "--filename=-")
	step("`label`", "", "label", "job", "created", "tier=web")
	step("`patch` of `parallelism`", "", "patch", "job", "created", `--patch={"spec":{"parallelism":2}}`)
	step("`patch` of `suspend`", "", "patch", "job", "created", `--patch={"spec":{"suspend":true}}`)
	step("`annotate`", "", "annotate", "job", "created", "owner=a")
	step("`apply`, new Job", job("applied", 1), "apply", "--filename=-")
	step("`apply`, other `parallelism`", job("applied", 2), "apply", "--filename=-")
	step("`apply --server-side`, new Job", job("server-side", 1), "apply", "--server-side", "--filename=-")
	step("`apply --server-side`, other `parallelism`", job("server-side", 2), "apply", "--server-side", "--filename=-")
	step("`explain job.spec`", "", "explain", "job.spec")
	step("`delete`", "", "delete", "job", "created", "applied", "server-side")
}

// manifest returns a Job as a user writes it, in JSON.
func manifest(t *testing.T, job *batchv1.Job) string {
	t.Helper()
	job.APIVersion, job.Kind = "batch/v1", "Job"
	content, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
