// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"path/filepath"

	"github.com/batchgate/batchgate/pkg/pki"
)

// frontProxyName is the user name that kube-apiserver has at aggregated API servers.
const frontProxyName = "front-proxy-client"

// clusterPKI holds the files that kubeadm keeps in /etc/kubernetes/pki.
type clusterPKI struct {
	dir string
	ca  *pki.Authority
}

// newClusterPKI creates the CAs, certificates and kubeconfigs of a control plane with this URL
// of kube-apiserver. It writes them to dir/pki, but the admin's kubeconfig to dir.
func newClusterPKI(dir, server string) (*clusterPKI, error) {
	p := &clusterPKI{dir: filepath.Join(dir, "pki")}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if p.ca, err = pki.LoadOrCreate(p.path("ca.crt"), p.path("ca.key"), "kubernetes"); err != nil {
		return nil, err
	}
	serving := x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if err := p.ca.SignFiles(p.path("apiserver.crt"), p.path("apiserver.key"), serving); err != nil {
		return nil, err
	}
	frontProxy, err := pki.LoadOrCreate(p.path("front-proxy-ca.crt"), p.path("front-proxy-ca.key"), "front-proxy-ca")
	if err != nil {
		return nil, err
	}
	proxy := x509.Certificate{
		Subject:     pkix.Name{CommonName: frontProxyName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if err := frontProxy.SignFiles(p.path("front-proxy.crt"), p.path("front-proxy.key"), proxy); err != nil {
		return nil, err
	}
	for path, name := range map[string]pkix.Name{
		filepath.Join(dir, "admin.kubeconfig"):  {CommonName: "admin", Organization: []string{"system:masters"}},
		p.path("controller-manager.kubeconfig"): {CommonName: "system:kube-controller-manager"},
		p.path("scheduler.kubeconfig"):          {CommonName: "system:kube-scheduler"},
	} {
		if err := p.ca.WriteKubeconfig(path, server, name); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *clusterPKI) path(name string) string { return filepath.Join(p.dir, name) }
