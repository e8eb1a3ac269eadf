// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	gate "github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

const (
	certManagerName    = "cert-manager"
	servingCertificate = "batchgate-serving"
	caCertificate      = "batchgate-ca"
)

// certManager runs cert-manager in a cluster of its own.
type certManager struct {
	t       *testing.T
	cluster *framework.Cluster
	serving framework.ServingCertificate // in files
}

// TestCertManager checks that cert-manager issues, injects and renews the certificates of
// artifacts/components/cert-manager. Meanwhile no update of a Job fails.
func TestCertManager(t *testing.T) {
	c, err := framework.StartTestCluster(t, binaries, framework.ClusterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m := &certManager{t: t, cluster: c}
	m.start()
	if err := c.InstallWithCertificate(t.Context(), m.issue); err != nil {
		t.Fatal(err)
	}
	s := gate.New(t, c)
	gate.RollBack(t, c)
	s.WaitNative()
	s.Run("annotate", "apiservice", policy.PolicyAPIService, certManagerAnnotation)
	s.ExpectPlugin(0, []string{"takeover"}, "v1.batch points to")
	m.awaitInjected()
	s.CreateJob(gate.NewJob("patched"))
	stop := m.patchAllTheTime(s.Namespace, "patched")

	old := m.secret(servingCertificate)
	renewed := m.renew(servingCertificate, servingCertificate)
	if bytes.Equal(renewed.Data[corev1.TLSPrivateKeyKey], old.Data[corev1.TLSPrivateKeyKey]) {
		t.Error("the serving certificate kept its key")
	}
	m.awaitServed()

	oldCA := m.secret("batchgate-issuer-ca")
	newCA := m.renew(caCertificate, "batchgate-issuer-ca")
	if !bytes.Equal(newCA.Data[corev1.TLSPrivateKeyKey], oldCA.Data[corev1.TLSPrivateKeyKey]) {
		t.Error("the CA got another key")
	}
	renewed = m.renew(servingCertificate, servingCertificate)
	if !bytes.Equal(renewed.Data["ca.crt"], newCA.Data[corev1.TLSCertKey]) {
		t.Error("the serving certificate is not signed by the new CA")
	}
	m.awaitInjected()
	m.awaitServed()
	stop()
	s.ExpectPlugin(0, []string{"rollback"}, "v1.batch points to kube-apiserver")
}

// certManagerAnnotation is the annotation in artifacts/components/cert-manager.
const certManagerAnnotation = policy.CertManagerInjectAnnotation + "=" + framework.Namespace + "/" + servingCertificate

// start installs cert-manager's CRDs and starts its controller and cainjector.
func (m *certManager) start() {
	m.t.Helper()
	tools, err := framework.BuildTools(m.t.Context(), certManagerName)
	if err != nil {
		m.t.Fatal(err)
	}
	source, err := downloadModule(m.t.Context(), certManagerName, "github.com/cert-manager/cert-manager")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, kind := range []string{"certificaterequests", "certificates", "challenges", "clusterissuers", "issuers", "orders"} {
		content, err := os.ReadFile(filepath.Join(source.Dir, "deploy", "crds", "crd-"+kind+".yaml"))
		if err != nil {
			m.t.Fatal(err)
		}
		// Only labels are templates.
		var lines strings.Builder
		for line := range strings.Lines(string(content)) {
			if !strings.Contains(line, "{{") {
				lines.WriteString(line)
			}
		}
		m.apply(lines.String())
	}
	m.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=110s")
	m.kubectl("create", "namespace", certManagerName)
	environment := []string{"KUBECONFIG=" + m.cluster.Kubeconfig, "TMPDIR=" + m.cluster.Dir}
	for name, args := range map[string][]string{
		"controller": {"--leader-elect=false", "--kubeconfig=" + m.cluster.Kubeconfig, "--cluster-resource-namespace=" + certManagerName, "--metrics-listen-address=127.0.0.1:0"},
		"cainjector": {"--leader-elect=false"},
	} {
		command := append(append(environment[:2:2], filepath.Join(tools, name)), args...)
		if _, err := m.cluster.StartController("cert-manager-"+name, "/usr/bin/env", command...); err != nil {
			m.t.Fatal(err)
		}
	}
}

// issue applies the Issuers and Certificates of the component and returns the serving certificate. Until
// the test ends, it does the kubelet's work: it writes the Secret to files.
func (m *certManager) issue(context.Context) (framework.ServingCertificate, error) {
	for _, file := range []string{"issuers", "certificates"} {
		m.kubectl("apply", "--server-side", "--filename="+filepath.Join("artifacts", "components", certManagerName, file+".yaml"))
	}
	m.kubectl("wait", "certificate", servingCertificate, "--namespace="+framework.Namespace, "--for=condition=Ready", "--timeout=110s")
	directory := m.t.TempDir()
	m.serving = framework.ServingCertificate{
		CertFile: filepath.Join(directory, corev1.TLSCertKey),
		KeyFile:  filepath.Join(directory, corev1.TLSPrivateKeyKey),
		CA:       m.secret(servingCertificate).Data["ca.crt"],
	}
	version := ""
	mount := func(int) error {
		secret, err := m.readSecret(servingCertificate)
		if err != nil || secret.ResourceVersion == version {
			return err
		}
		version = secret.ResourceVersion
		return framework.MountSecret(directory, secret.Data)
	}
	if err := mount(0); err != nil {
		return m.serving, err
	}
	m.inBackground(200*time.Millisecond, mount)
	return m.serving, nil
}

// inBackground calls a function with the number of the call, at an interval, until the returned function is
// called or the test ends. Errors fail the test. The returned function returns the number of calls.
func (m *certManager) inBackground(interval time.Duration, call func(number int) error) (stop func() int) {
	ctx, cancel := context.WithCancel(m.t.Context())
	calls := 0
	var running sync.WaitGroup
	running.Go(func() {
		for ticker := time.NewTicker(interval); ; {
			select {
			case <-ctx.Done():
				ticker.Stop()
				return
			case <-ticker.C:
				calls++
				if err := call(calls); err != nil && ctx.Err() == nil {
					m.t.Error(err)
				}
			}
		}
	})
	stop = func() int {
		cancel()
		running.Wait()
		return calls
	}
	m.t.Cleanup(func() { stop() })
	return stop
}

// patchAllTheTime patches a Job through kube-apiserver until the returned function is called.
func (m *certManager) patchAllTheTime(namespace, job string) (stop func()) {
	count := m.inBackground(50*time.Millisecond, func(number int) error {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"patch":"%d"}}}`, number)
		_, err := m.cluster.Client.BatchV1().Jobs(namespace).Patch(m.t.Context(), job, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	})
	return func() { m.t.Logf("patched the Job %d times", count()) }
}

// renew makes cert-manager renew a certificate now, as its command cmctl does, and returns the new Secret.
func (m *certManager) renew(certificate, secret string) *corev1.Secret {
	m.t.Helper()
	before := m.secret(secret)
	m.kubectl("patch", "certificate", certificate, "--namespace="+framework.Namespace, "--subresource=status", "--type=json",
		`--patch=[{"op":"add","path":"/status/conditions/-","value":{"type":"Issuing","status":"True","reason":"ManuallyTriggered","message":"renewed by a test"}}]`)
	var after *corev1.Secret
	eventually(m.t, "have "+secret+" renewed", func() error {
		after = m.secret(secret)
		if bytes.Equal(after.Data[corev1.TLSCertKey], before.Data[corev1.TLSCertKey]) {
			return errors.New("the certificate is the same")
		}
		return nil
	})
	return after
}

// awaitInjected waits until both APIServices have the CA of the serving certificate.
func (m *certManager) awaitInjected() {
	m.t.Helper()
	eventually(m.t, "have the CA injected", func() error {
		want := m.secret(servingCertificate).Data["ca.crt"]
		for _, name := range []string{policy.BatchAPIService, policy.PolicyAPIService} {
			bundle := m.kubectl("get", "apiservice", name, "--output=go-template={{.spec.caBundle | base64decode}}")
			if bundle != strings.TrimSpace(string(want)) {
				return fmt.Errorf("%s has the CA bundle %q, want %q", name, bundle, want)
			}
		}
		return nil
	})
}

// awaitServed waits until Batchgate serves with the certificate in the Secret.
func (m *certManager) awaitServed() {
	m.t.Helper()
	config := m.cluster.DirectConfig()
	client, err := rest.TLSConfigFor(config)
	if err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, "serve with the new certificate", func() error {
		connection, err := tls.Dial("tcp", strings.TrimPrefix(config.Host, "https://"), client)
		if err != nil {
			return err
		}
		defer connection.Close()
		block, _ := pem.Decode(m.secret(servingCertificate).Data[corev1.TLSCertKey])
		if !bytes.Equal(connection.ConnectionState().PeerCertificates[0].Raw, block.Bytes) {
			return errors.New("it serves with another certificate")
		}
		return nil
	})
}

func (m *certManager) secret(name string) *corev1.Secret {
	m.t.Helper()
	secret, err := m.readSecret(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return secret
}

func (m *certManager) readSecret(name string) (*corev1.Secret, error) {
	return m.cluster.Client.CoreV1().Secrets(framework.Namespace).Get(m.t.Context(), name, metav1.GetOptions{})
}

// kubectl runs kubectl as admin and returns its trimmed output.
func (m *certManager) kubectl(args ...string) string {
	m.t.Helper()
	stdout, _, err := m.cluster.Kubectl().Run(m.t.Context(), args...)
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(stdout)
}

func (m *certManager) apply(manifest string) {
	m.t.Helper()
	if _, _, err := m.cluster.Kubectl().WithStdin(manifest).Run(m.t.Context(), "apply", "--server-side", "--filename=-"); err != nil {
		m.t.Fatal(err)
	}
}
