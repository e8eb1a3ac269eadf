// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"crypto/x509/pkix"
	"net"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/pkg/standalone"
)

// startClusterProcess starts a server with the flags that it has in a cluster, but with an
// unreachable cluster and embedded etcd. Clients authenticate by certificate. Admission plugins
// and other features that need the cluster are turned off. Tests in test/e2e use a real cluster.
func startClusterProcess(t *testing.T, args ...string) *process {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "data")
	return startReady(t, func() *process { return launchClusterProcess(t, directory, args...) })
}

func launchClusterProcess(t *testing.T, directory string, args ...string) *process {
	t.Helper()
	port := freePort(t)
	files, err := standalone.Prepare(directory, net.IPv4(127, 0, 0, 1), port)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.LoadOrCreate(files.CA, filepath.Join(directory, "pki", "ca.key"), "")
	if err != nil {
		t.Fatal(err)
	}
	unreachable := filepath.Join(directory, "unreachable.kubeconfig")
	if err := ca.WriteKubeconfig(unreachable, "https://127.0.0.1:1", pkix.Name{CommonName: "batchgate"}); err != nil {
		t.Fatal(err)
	}
	p := launch(t, directory, port, append([]string{
		"--kubeconfig=" + unreachable,
		"--authentication-skip-lookup",
		"--client-ca-file=" + files.CA,
		"--embedded-etcd-directory=" + filepath.Join(directory, "etcd"),
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + files.ServingCert,
		"--tls-private-key-file=" + files.ServingKey,
		"--disable-admission-plugins=NamespaceLifecycle,PodSecurity,MutatingAdmissionPolicy,MutatingAdmissionWebhook,ValidatingAdmissionPolicy,ValidatingAdmissionWebhook,ResourceQuota",
		"--enable-priority-and-fairness=false",
	}, args...))
	p.readyz = "/readyz?exclude=informer-sync" // informer-sync waits for the cluster
	return p
}
