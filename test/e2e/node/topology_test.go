// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/batchgate/batchgate/test/framework"
	"github.com/batchgate/batchgate/test/node"
)

// Commands of the pages docs/tasks/install*.md.
const (
	createEtcdSecret = `
kubectl -n batchgate-system create secret generic batchgate-etcd-client \
  --from-file=ca.crt=etcd-ca.crt --from-file=tls.crt=etcd-client.crt --from-file=tls.key=etcd-client.key
`
	waitDeployment = `
kubectl -n batchgate-system rollout status deployment/batchgate-apiserver --timeout=5m
`
	registerPolicies = `
ca=$(kubectl -n batchgate-system get secret batchgate-serving --output=jsonpath='{.data.ca\.crt}')
sed "s|CA_BUNDLE|$ca|" apiservice-policy.yaml | kubectl apply --server-side --filename=-
` + waitPolicies
	waitPolicies = `
kubectl wait apiservice v1alpha1.policy.batchgate.io --for=condition=Available
`
	helmInstall = `
helm install batchgate batchgate-*.tgz --namespace batchgate-system --create-namespace `
)

func TestBase(t *testing.T) {
	a := newAdmin(t, node.Options{})
	a.installBase()
	a.sh("kubectl batchgate takeover")
	a.checkGate()
	a.sh("kubectl batchgate rollback")
	a.checkNative()
	report(t, "the topology base is installed by `install.yaml`, and then by the chart", "Jobs are gated after the takeover, and served by kube-apiserver after the rollback, each time")
	a.sh(`
kubectl delete apiservice v1alpha1.policy.batchgate.io
kubectl delete --filename=my-batchgate.yaml
`)

	a.sh(helmInstall + `--set topology=base --set "etcd.servers={$ETCD}"` + createEtcdSecret +
		"kubectl batchgate certificates" + waitDeployment + waitPolicies + "kubectl batchgate takeover")
	a.checkGate()
	a.sh("kubectl batchgate rollback")
	a.checkNative()
}

// installBase installs the topology base by its manifests, without a takeover.
func (a admin) installBase() {
	a.t.Helper()
	a.writeEtcdCertificate(a.cluster.EtcdCA())
	a.sh(`
sed "s|https://etcd.invalid:2379|$ETCD|" install.yaml > my-batchgate.yaml
kubectl apply --server-side --filename=my-batchgate.yaml
` + createEtcdSecret + "kubectl batchgate certificates" + waitDeployment + registerPolicies)
}

func TestSharedEtcd(t *testing.T) {
	for form, install := range map[string]string{
		"manifests": "kubectl apply --server-side --filename=install-shared-etcd.yaml",
		"chart": helmInstall + `--set topology=shared-etcd --set policyAPI.enabled=false
kubectl label namespace batchgate-system pod-security.kubernetes.io/enforce=privileged`,
	} {
		t.Run(form, func(t *testing.T) {
			a := newAdmin(t, node.Options{APIServerArgs: []string{"--enable-aggregator-routing=true"}})
			a.sh(install + `
kubectl batchgate certificates
for key in crt key; do
  kubectl -n batchgate-system get secret batchgate-serving --output=go-template="{{index .data \"tls.$key\" | base64decode}}" > serving.$key
done
`)
			a.writeEtcdCertificate(a.cluster.EtcdCA())
			if err := a.cluster.WriteKubeconfig(filepath.Join(a.dir, "kubeconfig"), framework.Name); err != nil {
				t.Fatal(err)
			}
			a.onNode(`
mkdir --mode=700 /etc/kubernetes/batchgate
cp serving.crt serving.key etcd-client.crt etcd-client.key kubeconfig /etc/kubernetes/batchgate
chown -R 10443:10443 /etc/kubernetes/batchgate
cp shared-etcd-static-pod.yaml /etc/kubernetes/manifests/batchgate-apiserver.yaml
`)
			a.sh(`
kubectl -n batchgate-system wait pod batchgate-apiserver-node1 --for=create --timeout=2m
kubectl -n batchgate-system wait pod batchgate-apiserver-node1 --for=condition=Ready --timeout=3m
` + registerPolicies + "kubectl batchgate takeover")
			a.checkGate()

			report(t, "shared-etcd is installed as a static Pod beside the only kube-apiserver ("+form+"), and the node loses its power",
				"Jobs are gated before the power loss, and again %s after power-on", a.powerCycle())
			a.sh("kubectl batchgate rollback")
			a.checkNative()
		})
	}
}

func TestBatchEtcd(t *testing.T) {
	for form, install := range map[string]string{
		"manifests": "sed 's|https://batch-etcd.invalid:2379|" + node.BatchEtcdURL + `|' install-batch-etcd.yaml > my-batchgate.yaml
kubectl apply --server-side --filename=my-batchgate.yaml`,
		"chart": helmInstall + "--set topology=batch-etcd --set policyAPI.enabled=false --set 'etcd.servers={" + node.BatchEtcdURL + "}'",
	} {
		t.Run(form, func(t *testing.T) {
			a := newAdmin(t, node.Options{BatchEtcd: true})
			a.writeEtcdCertificate(a.cluster.BatchEtcdCA())
			a.sh(install + createEtcdSecret + "kubectl batchgate certificates" + waitDeployment + registerPolicies + "kubectl batchgate takeover")
			a.checkGate()
			report(t, "batch-etcd is installed ("+form+") beside a kube-apiserver that keeps Jobs in another etcd, and the node loses its power",
				"Jobs are gated before the power loss, and again %s after power-on", a.powerCycle())
			a.sh("kubectl batchgate rollback")
			a.checkNative()
		})
	}
}

//go:embed dns.yaml
var dns string

func TestDedicatedEtcd(t *testing.T) {
	for form, install := range map[string]string{
		"manifests": "kubectl apply --server-side --filename=install-dedicated-etcd.yaml\n",
		"chart":     helmInstall + "--set topology=dedicated-etcd --set policyAPI.enabled=false\n",
	} {
		t.Run(form, func(t *testing.T) {
			a := newAdmin(t, node.Options{Nodes: 3})
			a.addVolumes()
			a.write("dns.yaml", dns)
			a.sh(`
kubectl apply --server-side --filename=dns.yaml
kubectl create job before --image=busybox:1 -- sleep 3600
` + install + `
kubectl batchgate certificates --etcd
kubectl -n batchgate-system rollout status statefulset/batchgate-etcd --timeout=5m
` + waitDeployment + registerPolicies + `
mkdir -m 700 etcd-files
for key in ca.crt tls.crt tls.key; do
  kubectl -n batchgate-system get secret batchgate-etcd-client --output=go-template="{{index .data \"$key\" | base64decode}}" > etcd-files/$key
done
`)
			a.importJobs()
			a.checkGate()
			a.sh("kubectl patch job before --type=merge --patch='{\"metadata\":{\"labels\":{\"moved\":\"yes\"}}}'")

			report(t, "dedicated-etcd is installed on three nodes ("+form+"), Jobs are imported, and all nodes lose their power",
				"Jobs are gated before the power loss, and again %s after power-on; an imported Job keeps its update", a.powerCycle())
			a.sh("kubectl get job before --output=jsonpath='{.metadata.labels.moved}' | grep yes")
		})
	}
}

// importJobs imports the Jobs to the dedicated etcd. It restarts kube-controller-manager as soon as
// Batchgate serves Jobs. Otherwise kube-controller-manager may not see new Jobs for minutes.
func (a admin) importJobs() {
	a.t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := a.try(`
kubectl -n batchgate-system port-forward service/batchgate-etcd 12379:2379 >/dev/null &
trap "kill $!" EXIT
flags="--etcd-servers=https://localhost:12379 --etcd-cafile=etcd-files/ca.crt --etcd-certfile=etcd-files/tls.crt --etcd-keyfile=etcd-files/tls.key"
kubectl batchgate import $flags --dry-run
kubectl batchgate import $flags
`)
		done <- err
	}()
	a.waitFor(done, "see v1.batch taken over", "kubectl get apiservice v1.batch --output=jsonpath='{.spec.service.name}' | grep batchgate")
	if err := a.cluster.Nodes[0].SignalService("kube-controller-manager", syscall.SIGTERM); err != nil {
		a.t.Error(err)
	}
	if err := <-done; err != nil {
		a.t.Fatal(err)
	}
}

// waitFor waits until a script succeeds. It ends the test if the command that makes it succeed has ended
// with an error.
func (a admin) waitFor(done chan error, what, script string) {
	a.t.Helper()
	framework.Eventually(a.t, waitTimeout, what, func() error {
		select {
		case err := <-done:
			if err != nil {
				a.t.Fatal(err)
			}
			done <- nil
		default:
		}
		_, err := a.try(script)
		return err
	})
}

func TestStandalone(t *testing.T) {
	for form, install := range map[string]string{
		"manifests": "kubectl apply --server-side --filename=install-standalone.yaml",
		"chart":     "helm install batchgate batchgate-*.tgz --namespace batchgate-standalone --create-namespace --set topology=standalone",
	} {
		t.Run(form, func(t *testing.T) {
			a := newAdmin(t, node.Options{})
			a.addVolumes()
			a.sh(install + `
kubectl -n batchgate-standalone rollout status statefulset/batchgate-standalone --timeout=3m
(umask 077; kubectl -n batchgate-standalone debug batchgate-standalone-0 --attach --image=busybox:1 --profile=restricted \
  --target=apiserver -- sh -c 'sleep 5; cat /proc/1/root/var/lib/batchgate/admin.kubeconfig' | sed -n '/^apiVersion/,$p' > standalone.kubeconfig)
`)
			a.denied(`
kubectl -n batchgate-standalone port-forward service/batchgate-standalone 8443:443 >/dev/null &
trap "kill $!" EXIT
until (: >/dev/tcp/localhost/8443) 2>/dev/null; do sleep 0.2; done
export KUBECONFIG=standalone.kubeconfig
kubectl create job pi --image=perl
kubectl patch job pi --type=merge --patch='{"spec":{"parallelism":3}}'
kubectl annotate job pi owner=me
`, `metadata.annotations["owner"]: Forbidden: may not be updated`)
			report(t, "standalone is installed ("+form+")", "the sandbox gates Jobs through a forwarded port")
		})
	}
}

// onNode runs a script on the first node, as root, in the directory of the release.
func (a admin) onNode(script string) {
	a.t.Helper()
	cmd := a.cluster.Nodes[0].Command(a.t.Context(), "bash", "-euo", "pipefail", "-c", "cd "+a.dir+"\n"+script)
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func (a admin) write(file, content string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, file), []byte(content), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// addVolumes creates a default StorageClass with a volume on each node.
func (a admin) addVolumes() {
	a.t.Helper()
	manifest := `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: local
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
`
	for _, n := range a.cluster.Nodes {
		if out, err := n.Command(a.t.Context(), "mkdir", "-p", "/var/lib/volume").CombinedOutput(); err != nil {
			a.t.Fatalf("%v: %s", err, out)
		}
		manifest += fmt.Sprintf(`---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: %[1]s
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  local: {path: /var/lib/volume}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions:
        - {key: kubernetes.io/hostname, operator: In, values: [%[1]s]}
`, n.Name)
	}
	a.write("volumes.yaml", manifest)
	a.sh("kubectl apply --server-side --filename=volumes.yaml")
}

// checkGate checks that an update of a Job is allowed, and another denied.
func (a admin) checkGate() {
	a.t.Helper()
	a.sh(`
kubectl create job gate --image=busybox:1 -- sleep 300
kubectl patch job gate --type=merge --patch='{"spec":{"parallelism":2,"completions":2}}'
`)
	a.denied("kubectl annotate job gate key=value", `metadata.annotations["key"]: Forbidden: may not be updated`)
	a.sh("kubectl delete job gate")
}

// powerCycle cuts the power of all nodes at once and turns it on again. It returns the time from
// power-on until Batchgate serves Jobs, and then checks the gate.
func (a admin) powerCycle() time.Duration {
	a.t.Helper()
	began := a.powerOffAndOn()
	framework.Eventually(a.t, waitTimeout, "have Batchgate back", func() error {
		_, err := a.try("kubectl get --raw=/readyz && kubectl get jobs && kubectl get jup")
		return err
	})
	took := time.Since(began).Round(time.Second)
	a.checkGate()
	return took
}

// powerOffAndOn cuts the power of all nodes at once and turns it on again. It returns the time of power-on.
func (a admin) powerOffAndOn() time.Time {
	a.t.Helper()
	if err := a.cluster.Stop(); err != nil {
		a.t.Fatal(err)
	}
	on := time.Now()
	for _, n := range a.cluster.Nodes {
		if err := n.Boot(); err != nil {
			a.t.Fatal(err)
		}
	}
	return on
}

// checkNative checks that kube-apiserver serves Jobs.
func (a admin) checkNative() {
	a.t.Helper()
	a.sh(`
kubectl create job native --image=busybox:1 -- sleep 300
kubectl annotate job native key=value
kubectl delete job native
`)
}
