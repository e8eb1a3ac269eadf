// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	certutil "k8s.io/client-go/util/cert"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/test/framework"
)

// Batchgate loads new certificates without a restart, and no request fails.
func TestServingCertificateRotatedUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, logLoadedCertificates)
	mount := s.installWithPluginCertificate()
	exited := s.Batchgate.Exited()
	load := s.startLoad()

	t.Run("new certificate", func(t *testing.T) { s.forSubtest(t).renewServingCertificate(mount) })
	t.Run("new CA", func(t *testing.T) { s.forSubtest(t).rotateServingCA(mount) })

	load.finishUnaffected()
	s.checkNotExited("Batchgate", exited)
	s.plugin(0, "status").has("True (Passed)")
}

func (s *scenario) renewServingCertificate(mount string) {
	s.checkService()
	before := s.servedCertificate()
	s.plugin(0, "certificates", "--renew-before=8760h").has("serving certificate", "renewed, since")
	s.mountServingSecret(mount)
	s.eventually("serve another certificate", func() error {
		if s.servedCertificate().Equal(before) {
			return errors.New("the certificate is the same")
		}
		return nil
	})
	s.reconnect()
	s.checkService()
}

// rotateServingCA checks that kube-apiserver trusts the CA of the served certificate at every
// moment of a rotation.
func (s *scenario) rotateServingCA(mount string) {
	old := s.secret("batchgate-ca").Data[corev1.TLSCertKey]
	s.plugin(0, "certificates", "--rotate-ca").has("created next to the old one", "recreated, since the CA is new", "run this again in about two minutes")
	next := s.secret("batchgate-ca").Data[corev1.TLSCertKey]
	s.checkCAs("both CAs", next, old)
	s.checkService()
	// The server does not have the new Secret yet.
	s.plugin(0, "certificates").has("old CA", "kept, since not all replicas", "certificate signed by unknown authority")
	s.plugin(2, "certificates", "--rotate-ca").has("run this without --rotate-ca until the old CA is dropped")
	s.checkCAs("both CAs", next, old)

	s.mountServingSecret(mount)
	s.eventually("serve a certificate of the new CA", func() error { return verifyServing(s.servedCertificate(), next) })
	s.reconnect()
	s.checkService()
	s.plugin(0, "certificates", "--dry-run").has("would be dropped")
	s.checkCAs("both CAs", next, old)
	s.plugin(0, "certificates").has("dropped, 1 replicas have the new serving certificate")
	s.checkCAs("the new CA", next)
	s.checkService()
	if output := s.plugin(0, "certificates").text; strings.Contains(output, "old CA") {
		s.t.Errorf("the plugin still reports an old CA:\n%s", output)
	}
}

// installWithPluginCertificate installs Batchgate with a certificate of the plugin and takes
// v1.batch over. It returns the directory from which the server reads the certificate.
func (s *scenario) installWithPluginCertificate() (mount string) {
	s.t.Helper()
	mount = s.t.TempDir()
	err := s.InstallWithCertificate(s.t.Context(), func(context.Context) (framework.ServingCertificate, error) {
		s.plugin(0, "certificates").has("created, valid until", "see docs/tasks/install.md")
		s.mountServingSecret(mount)
		return framework.ServingCertificate{
			CertFile: filepath.Join(mount, corev1.TLSCertKey), KeyFile: filepath.Join(mount, corev1.TLSPrivateKeyKey),
			CA: s.secret("batchgate-serving").Data["ca.crt"],
		}, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	// A takeover reads the CA from the Secret if no APIService has it.
	if err := s.kubectl("delete", "apiservice", "v1alpha1.policy.batchgate.io"); err != nil {
		s.t.Fatal(err)
	}
	s.plugin(0, "takeover")
	if err := s.RegisterPolicyAPI(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return mount
}

// mountServingSecret updates the files of the serving certificate from its Secret.
func (s *scenario) mountServingSecret(dir string) {
	s.t.Helper()
	if err := framework.MountSecret(dir, s.secret("batchgate-serving").Data); err != nil {
		s.t.Fatal(err)
	}
}

// servedCertificate returns the certificate that Batchgate serves on a new connection.
func (s *scenario) servedCertificate() *x509.Certificate {
	s.t.Helper()
	direct, err := url.Parse(s.DirectConfig().Host)
	if err != nil {
		s.t.Fatal(err)
	}
	// The caller verifies the certificate.
	conn, err := tls.Dial("tcp", direct.Host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// verifyServing verifies a serving certificate as kube-apiserver does.
func verifyServing(cert *x509.Certificate, caBundle []byte) error {
	roots, err := certutil.NewPoolFromBytes(caBundle)
	if err != nil {
		return err
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: framework.Name + "." + framework.Namespace + ".svc"})
	return err
}

// checkCAs fails the test unless the Secrets and both APIServices have exactly these CAs, in this
// order.
func (s *scenario) checkCAs(what string, cas ...[]byte) {
	s.t.Helper()
	want := bytes.Join(cas, nil)
	for _, name := range servingSecrets {
		if got := s.secret(name).Data["ca.crt"]; !bytes.Equal(got, want) {
			s.t.Errorf("Secret %s does not have %s:\n%s", name, what, got)
		}
	}
	api, err := cluster.New(s.Config)
	if err != nil {
		s.t.Fatal(err)
	}
	registrations, err := api.Registrations(s.t.Context(), cluster.Service{Namespace: framework.Namespace, Name: framework.Name})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(registrations) != 2 {
		s.t.Errorf("%d APIServices refer to the Service, want 2", len(registrations))
	}
	for _, r := range registrations {
		if !bytes.Equal(r.CABundle, want) {
			s.t.Errorf("APIService %s does not have %s:\n%s", r.Name, what, r.CABundle)
		}
	}
}
