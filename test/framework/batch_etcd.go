// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/pkg/pki"
)

// BatchEtcd is the separate etcd of artifacts/overlays/batch-etcd, which kube-apiserver and
// Batchgate share. Their client certificates have different CAs.
type BatchEtcd struct {
	*Process
	// URL is the client URL.
	URL string
	// CAFile verifies the etcd. CertFile and KeyFile are the client certificate of
	// kube-apiserver.
	CAFile, CertFile, KeyFile string

	// batchgateClientCA signs the client certificate of Batchgate.
	batchgateClientCA *pki.Authority
}

// StartBatchEtcd starts a BatchEtcd that keeps its files in the directory.
func StartBatchEtcd(ctx context.Context, directory string, binaries Binaries) (*BatchEtcd, error) {
	path := func(name string) string { return filepath.Join(directory, name) }
	e := &BatchEtcd{CAFile: path("ca.crt"), CertFile: path("kube-apiserver.crt"), KeyFile: path("kube-apiserver.key")}
	ca, err := pki.LoadOrCreate(e.CAFile, path("ca.key"), "etcd-ca")
	if err != nil {
		return nil, err
	}
	if e.batchgateClientCA, err = pki.LoadOrCreate(path("clients-ca.crt"), path("clients-ca.key"), "batch-etcd-clients"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(path("trusted.crt"), append(ca.CertPEM, e.batchgateClientCA.CertPEM...), 0o600); err != nil {
		return nil, err
	}
	if err := ca.SignFiles(path("server.crt"), path("server.key"), etcdServerTemplate()); err != nil {
		return nil, err
	}
	if err := ca.SignFiles(e.CertFile, e.KeyFile, etcdClientTemplate("kube-apiserver-etcd-client")); err != nil {
		return nil, err
	}
	client, err := FreePort()
	if err != nil {
		return nil, err
	}
	peer, err := FreePort()
	if err != nil {
		return nil, err
	}
	e.URL = "https://" + loopback(client)
	peerURL := "http://" + loopback(peer)
	e.Process = &Process{Name: "batch-etcd", binary: filepath.Join(binaries.Tools, "etcd"), dir: directory, args: []string{
		"--data-dir=" + path("data"),
		"--listen-client-urls=" + e.URL,
		"--advertise-client-urls=" + e.URL,
		"--listen-peer-urls=" + peerURL,
		"--initial-advertise-peer-urls=" + peerURL,
		"--initial-cluster=default=" + peerURL,
		"--client-cert-auth",
		"--trusted-ca-file=" + path("trusted.crt"),
		"--cert-file=" + path("server.crt"),
		"--key-file=" + path("server.key"),
		"--unsafe-no-fsync",
		"--log-level=warn",
	}}
	if err := e.Start(); err != nil {
		return nil, err
	}
	return e, e.waitUntilReady(ctx)
}

func (e *BatchEtcd) waitUntilReady(ctx context.Context) error {
	config, err := transport.TLSInfo{TrustedCAFile: e.CAFile, CertFile: e.CertFile, KeyFile: e.KeyFile}.ClientConfig()
	if err != nil {
		return err
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{e.URL}, TLS: config})
	if err != nil {
		return err
	}
	defer client.Close()
	return e.waitUntil(ctx, "ready", func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		_, err := client.Get(ctx, "any")
		return err == nil
	})
}

// APIServerArgs are the arguments that make kube-apiserver store Jobs and CronJobs in e.
func (e *BatchEtcd) APIServerArgs() []string {
	return []string{
		"--etcd-servers-overrides=batch/jobs#" + e.URL + ",batch/cronjobs#" + e.URL,
		"--etcd-cafile=" + e.CAFile,
		"--etcd-certfile=" + e.CertFile,
		"--etcd-keyfile=" + e.KeyFile,
	}
}

// InstallBatchEtcd applies artifacts/overlays/batch-etcd, runs one replica of Batchgate with the
// etcd, and registers the policy API.
func (c *Cluster) InstallBatchEtcd(ctx context.Context, etcd *BatchEtcd) error {
	if err := c.applyOverlay(ctx, "batch-etcd"); err != nil {
		return err
	}
	if err := c.createServingSecret(ctx); err != nil {
		return err
	}
	ca, err := os.ReadFile(etcd.CAFile)
	if err != nil {
		return err
	}
	cert, key, err := etcd.batchgateClientCA.Sign(etcdClientTemplate(Name))
	if err != nil {
		return err
	}
	if err := c.createTLSSecret(ctx, "batchgate-etcd-client", ca, cert, key); err != nil {
		return err
	}
	pods, err := c.waitForPods(ctx, Namespace, Name, 2)
	if err != nil {
		return err
	}
	addresses := map[string]string{"batch-etcd.invalid:2379": strings.TrimPrefix(etcd.URL, "https://")}
	if err := c.runBatchgatePod(ctx, &pods[0], podOverrides{addresses: addresses}); err != nil {
		return err
	}
	return c.RegisterPolicyAPI(ctx)
}
