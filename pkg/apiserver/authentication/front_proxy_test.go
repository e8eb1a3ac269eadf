// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authentication

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	certutil "k8s.io/client-go/util/cert"

	"github.com/batchgate/batchgate/pkg/pki"
)

func TestNewFrontProxyAuthenticator(t *testing.T) {
	proxyCA, certificate := newClientCertificate(t, "front-proxy-client")
	_, untrusted := newClientCertificate(t, "front-proxy-client")
	ca, err := dynamiccertificates.NewStaticCAContent("front-proxy", proxyCA.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	header := &authenticatorfactory.RequestHeaderConfig{
		CAContentProvider:   ca,
		AllowedClientNames:  headerrequest.StaticStringSlice{"front-proxy-client"},
		UsernameHeaders:     headerrequest.StaticStringSlice{"X-Remote-User"},
		UIDHeaders:          headerrequest.StaticStringSlice{"X-Remote-Uid"},
		GroupHeaders:        headerrequest.StaticStringSlice{"X-Remote-Group"},
		ExtraHeaderPrefixes: headerrequest.StaticStringSlice{"X-Remote-Extra-"},
	}
	for name, tc := range map[string]struct {
		certificates []*x509.Certificate
		want         bool
	}{
		"front proxy's certificate":                 {[]*x509.Certificate{certificate}, true},
		"certificate of another CA":                 {[]*x509.Certificate{untrusted}, false},
		"no certificate":                            {nil, false},
		"front proxy's certificate as intermediate": {[]*x509.Certificate{untrusted, certificate}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPatch, "https://batchgate/apis/batch/v1/namespaces/a/jobs/b", nil)
			r.TLS = &tls.ConnectionState{PeerCertificates: tc.certificates}
			r.Header.Set("X-Remote-User", "alice")
			response, ok, _ := newFrontProxyAuthenticator(header).AuthenticateRequest(r)
			if ok != tc.want {
				t.Fatalf("authenticated: got %t, want %t", ok, tc.want)
			}
			if !ok {
				return
			}
			if _, proxied := response.User.(ProxiedUser); !proxied || response.User.GetName() != "alice" {
				t.Errorf("got user %#v, want ProxiedUser alice", response.User)
			}
		})
	}
}

// newClientCertificate returns a new CA and a client certificate that it signed.
func newClientCertificate(t *testing.T, name string) (*pki.Authority, *x509.Certificate) {
	t.Helper()
	ca, _, err := pki.New("ca")
	if err != nil {
		t.Fatal(err)
	}
	certPEM, _, err := ca.Sign(x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.ParseCertsPEM(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	return ca, certs[0]
}
