// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"regexp"
	"testing"

	"github.com/batchgate/batchgate/test/node"
)

// conformancePolicy grants the fields that the specs update, see docs/generated/upstream-tests.md.
const conformancePolicy = `
apiVersion: policy.batchgate.io/v1alpha1
kind: JobUpdatePolicy
metadata:
  name: conformance
spec:
  subjects:
  - kind: Group
    name: system:masters
  fields:
  - metadata.annotations["patchedstatus"]
  - metadata.annotations["updated"]
  - spec.suspend
`

// runConformance runs the conformance tests of Jobs and CronJobs, except for one that only waits for five
// minutes.
const runConformance = `
kubectl apply --server-side --filename=conformance.yaml
kubectl wait jup/conformance --for=condition=Ready
ginkgo run --no-color --procs=6 --timeout=10m \
  --focus='\[sig-apps\] (Job|CronJob) .*\[Conformance\]' --skip='CronJob should not schedule jobs when suspended' \
  "$(which e2e.test)" -- --provider=skeleton --kubeconfig="$KUBECONFIG" --kubectl-path="$(which kubectl)" --num-nodes=1
`

var conformanceResult = regexp.MustCompile(`SUCCESS! -- ([1-9][0-9]*) Passed`)

// TestConformance runs Kubernetes' own tests with real containers.
func TestConformance(t *testing.T) {
	a := newAdmin(t, node.Options{})
	a.installBase()
	a.sh("kubectl batchgate takeover")
	// The tests use other names for the images on the node.
	a.onNode(`
for name in ` + node.BusyboxImage + " " + node.PauseImage + `; do
  base=$(basename "${name%:*}")
  for image in $(e2e.test --list-images | grep "/$base:"); do
    ctr --namespace=k8s.io images tag "$name" "$image"
  done
done`)
	a.write("conformance.yaml", conformancePolicy)
	passed := conformanceResult.FindStringSubmatch(a.sh(runConformance))
	if passed == nil {
		t.Fatal("ginkgo printed no result")
	}
	report(t, "Kubernetes' conformance tests of Jobs and CronJobs run, as a user with a policy for the three fields that they update", "%s passed", passed[1])
}
