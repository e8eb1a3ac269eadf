package integration

import (
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

// A client certificate of etcd is read anew for each connection, so it can be renewed, by
// another CA even, under a server that runs. The CA of etcd is read at the start only.
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

	// Whoever has the first certificate only is let in no more.
	sign(cas[1], "client", x509.ExtKeyUsageClientAuth)
	stop()
	startEtcd(t, config, file("ca-1.crt"))
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(pollInterval) {
		answer := p.admin.patch(t, jobPath("default", job.Name), mergePatch, `{"metadata":{"labels":{"renewed":"true"}}}`)
		if answer.code == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the client certificate was renewed: %d %s", answer.code, answer.body)
		}
	}
}

// startEtcd starts an etcd that lets clients in who have a certificate of the CA, and returns
// what stops it.
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
		t.Fatal("etcd does not become ready")
	}
	return stop
}
