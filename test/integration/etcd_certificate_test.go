// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/batchgate/batchgate/pkg/pki"
)

// The server reads the etcd client certificate for each new connection. So it can be renewed
// while the server runs, even with another CA. The server reads etcd's CA only when it starts.
func TestEtcdClientCertificateReloaded(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	file := func(name string) string { return filepath.Join(directory, name) }
	var cas [2]*pki.Authority
	for i := range cas {
		var err error
		if cas[i], err = pki.LoadOrCreate(file(fmt.Sprintf("ca-%d.crt", i)), file(fmt.Sprintf("ca-%d.key", i)), fmt.Sprintf("etcd-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	sign := func(ca *pki.Authority, name string, use x509.ExtKeyUsage) {
		template := x509.Certificate{Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{use}}
		if err := ca.SignFiles(file(name+".crt"), file(name+".key"), template); err != nil {
			t.Fatal(err)
		}
	}
	sign(cas[0], "member", x509.ExtKeyUsageServerAuth)
	sign(cas[0], "client", x509.ExtKeyUsageClientAuth)
	config := embed.NewConfig()
	config.Dir, config.LogLevel, config.EnableGRPCGateway = file("etcd"), "error", false
	config.ListenClientUrls = []url.URL{{Scheme: "https", Host: fmt.Sprintf("127.0.0.1:%d", freePort(t))}}
	config.AdvertiseClientUrls = config.ListenClientUrls
	config.ListenPeerUrls, config.AdvertisePeerUrls = nil, []url.URL{{Scheme: "unix", Path: file("peer")}}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.ClientTLSInfo.CertFile, config.ClientTLSInfo.KeyFile = file("member.crt"), file("member.key")
	config.ClientTLSInfo.ClientCertAuth = true

	stop := startEtcd(t, config, file("ca-0.crt"))
	p := startClusterProcess(t, "--embedded-etcd-directory=", "--etcd-servers="+config.ListenClientUrls[0].String(),
		"--etcd-cafile="+file("ca-0.crt"), "--etcd-certfile="+file("client.crt"), "--etcd-keyfile="+file("client.key"))
	job := p.admin.create(t, "default", newJob(t))

	// From here on, etcd rejects the first client certificate.
	sign(cas[1], "client", x509.ExtKeyUsageClientAuth)
	stop()
	startEtcd(t, config, file("ca-1.crt"))
	eventually(t, "use the renewed client certificate", func(context.Context) error {
		resp := p.admin.patch(t, jobPath("default", job.Name), mergePatch, `{"metadata":{"labels":{"renewed":"true"}}}`)
		if resp.code != http.StatusOK {
			return fmt.Errorf("got status %d: %s", resp.code, resp.body)
		}
		return nil
	})
}

// startEtcd starts an etcd that accepts client certificates of the CA.
func startEtcd(t *testing.T, config *embed.Config, clientCA string) (stop func()) {
	t.Helper()
	config.ClientTLSInfo.TrustedCAFile = clientCA
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(etcd.Close)
	t.Cleanup(stop)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(waitTimeout):
		t.Fatal("etcd did not become ready")
	}
	return stop
}
