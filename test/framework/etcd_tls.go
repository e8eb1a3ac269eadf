package framework

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/pkg/pki"
)

// EtcdTLSURL is where etcd serves clients that have a certificate, with Features.EtcdTLS.
func (c *Cluster) EtcdTLSURL() string { return fmt.Sprintf("https://127.0.0.1:%d", c.ports.etcdTLS) }

// etcdTLSArgs returns what etcdArgs lack for Features.EtcdTLS.
func (c *Cluster) etcdTLSArgs() ([]string, error) {
	if !c.features.EtcdTLS {
		return nil, nil
	}
	ca, err := pki.LoadOrCreate(c.pki.path("etcd-ca.crt"), c.pki.path("etcd-ca.key"), "etcd-ca")
	if err != nil {
		return nil, err
	}
	if err := ca.SignFiles(c.pki.path("etcd.crt"), c.pki.path("etcd.key"), etcdServer()); err != nil {
		return nil, err
	}
	return []string{
		"--listen-client-urls=" + c.EtcdURL() + "," + c.EtcdTLSURL(),
		"--client-cert-auth",
		"--trusted-ca-file=" + c.pki.path("etcd-ca.crt"),
		"--cert-file=" + c.pki.path("etcd.crt"),
		"--key-file=" + c.pki.path("etcd.key"),
	}, nil
}

// BatchEtcd is an etcd beside that of a cluster, as artifacts/overlays/batch-etcd wants it:
// kube-apiserver and Batchgate are clients of it by certificates of different CAs.
type BatchEtcd struct {
	*Process
	// URL is where it serves clients.
	URL string
	// CAFile verifies it; CertFile and KeyFile are those of kube-apiserver.
	CAFile, CertFile, KeyFile string

	clients *pki.Authority
}

// StartBatchEtcd starts one that keeps everything in a directory.
func StartBatchEtcd(ctx context.Context, directory string, binaries Binaries) (*BatchEtcd, error) {
	path := func(name string) string { return filepath.Join(directory, name) }
	e := &BatchEtcd{CAFile: path("ca.crt"), CertFile: path("kube-apiserver.crt"), KeyFile: path("kube-apiserver.key")}
	ca, err := pki.LoadOrCreate(e.CAFile, path("ca.key"), "etcd-ca")
	if err != nil {
		return nil, err
	}
	if e.clients, err = pki.LoadOrCreate(path("clients-ca.crt"), path("clients-ca.key"), "batch-etcd-clients"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(path("trusted.crt"), append(ca.CertPEM, e.clients.CertPEM...), 0o600); err != nil {
		return nil, err
	}
	if err := ca.SignFiles(path("server.crt"), path("server.key"), etcdServer()); err != nil {
		return nil, err
	}
	if err := ca.SignFiles(e.CertFile, e.KeyFile, etcdClient("kube-apiserver-etcd-client")); err != nil {
		return nil, err
	}
	client, err := freePort()
	if err != nil {
		return nil, err
	}
	peer, err := freePort()
	if err != nil {
		return nil, err
	}
	e.URL = fmt.Sprintf("https://127.0.0.1:%d", client)
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", peer)
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
	return e, e.awaitReady(ctx)
}

func (e *BatchEtcd) awaitReady(ctx context.Context) error {
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

// APIServerArgs are those by which kube-apiserver keeps Jobs and CronJobs here.
func (e *BatchEtcd) APIServerArgs() []string {
	return []string{
		"--etcd-servers-overrides=batch/jobs#" + e.URL + ",batch/cronjobs#" + e.URL,
		"--etcd-cafile=" + e.CAFile,
		"--etcd-certfile=" + e.CertFile,
		"--etcd-keyfile=" + e.KeyFile,
	}
}
