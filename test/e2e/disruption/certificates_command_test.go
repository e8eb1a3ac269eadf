// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"crypto/x509"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/test/framework"
)

const managedByLabel = "app.kubernetes.io/managed-by"

var (
	servingSecrets = []string{"batchgate-ca", "batchgate-serving"}
	etcdSecrets    = []string{"batchgate-etcd-ca", "batchgate-etcd-member", "batchgate-etcd-client"}
)

// The command needs Batchgate's namespace, but no running Batchgate.
func TestCertificatesCommand(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{})
	s.plugin(2, "certificates").has("install Batchgate first", "nothing was changed")
	if _, _, err := s.Kubectl().Run(t.Context(), "apply", "--server-side", "--kustomize", "test/framework/overlay"); err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(servingSecrets, etcdSecrets)

	s.plugin(0, "certificates", "--etcd", "--dry-run").has("would be created", "0 exist, 5 missing")
	if left := s.secretContents(); len(left) > 0 {
		t.Errorf("a dry run created %d Secrets", len(left))
	}
	reader, err := s.KubectlAs("reader")
	if err != nil {
		t.Fatal(err)
	}
	s.plugin(2, "certificates", "--kubeconfig="+reader.Kubeconfig).has("the user may not get secrets, create secrets, update secrets, get apiservices, patch apiservices", "nothing was changed")

	s.plugin(0, "certificates").has("created, valid until")
	s.plugin(0, "certificates", "--etcd").has("2 exist, 3 missing")
	first := s.secretContents()
	if len(first) != len(all) {
		t.Errorf("there are %d Secrets, want %d", len(first), len(all))
	}
	s.checkCertificate("batchgate-serving", "batchgate-ca", []string{"batchgate-apiserver.batchgate-system.svc", "batchgate-apiserver.batchgate-system.svc.cluster.local"}, x509.ExtKeyUsageServerAuth)
	member := []string{"etcd-0.batchgate-etcd.batchgate-system.svc", "batchgate-etcd.batchgate-system.svc", "localhost", "127.0.0.1"}
	s.checkCertificate("batchgate-etcd-member", "batchgate-etcd-ca", member, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	s.checkCertificate("batchgate-etcd-client", "batchgate-etcd-ca", nil, x509.ExtKeyUsageClientAuth)

	s.plugin(0, "certificates", "--etcd")
	s.checkChanged("second run", first)
	s.plugin(0, "certificates", "--etcd", "--renew-before=8760h", "--dry-run").has("would be renewed, since the last one is valid until")
	s.checkChanged("dry run", first)
	s.plugin(0, "certificates", "--renew-before=8760h").has("renewed, since the last one is valid until")
	s.checkChanged("all certificates due, including those of etcd", first, "batchgate-serving", "batchgate-etcd-member", "batchgate-etcd-client")
	before := s.secretContents()
	s.plugin(0, "certificates", "--service=other").has("recreated, since it lacks the name other.batchgate-system.svc")
	s.checkChanged("missing name, and another name of the client", before, "batchgate-serving", "batchgate-etcd-client")

	var report struct{ Steps []steps.Result }
	if err := json.Unmarshal([]byte(s.plugin(0, "certificates", "--output=json").text), &report); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(report.Steps, func(r steps.Result) bool { return r.Name == "serving certificate" && r.Error == "" }) {
		t.Errorf("the steps are %+v", report.Steps)
	}

	t.Run("Secrets of others unchanged", func(t *testing.T) { s.forSubtest(t).keepSecretsOfOthers() })
	t.Run("broken or missing CA", func(t *testing.T) { s.forSubtest(t).breakCA() })
	t.Run("concurrent runs", func(t *testing.T) { s.forSubtest(t).runConcurrently() })
}

func (s *scenario) keepSecretsOfOthers() {
	before := s.secretContents()
	run := func(args ...string) {
		s.t.Helper()
		if _, _, err := s.Kubectl().Run(s.t.Context(), slices.Concat([]string{"--namespace=" + framework.Namespace}, args)...); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, name := range []string{"batchgate-serving", "batchgate-etcd-client"} {
		run("label", "secret", name, managedByLabel+"-")
		s.plugin(2, "certificates", "--etcd", "--renew-before=8760h").has(name+" was not created by this command", "renew it the way it was created", "nothing was changed")
		run("label", "secret", name, managedByLabel+"=Helm")
		s.plugin(2, "certificates", "--etcd", "--renew-before=8760h").has(name + " was not created by this command")
		run("annotate", "secret", name, "cert-manager.io/certificate-name=serving")
		s.plugin(2, "certificates", "--etcd", "--renew-before=8760h").has("belongs to cert-manager's Certificate serving")
		run("annotate", "secret", name, "cert-manager.io/certificate-name-")
		s.checkChanged("Secret of another manager", before)
		// The error says to do this.
		run("label", "secret", name, "--overwrite", managedByLabel+"=kubectl-batchgate")
	}
	s.plugin(0, "certificates", "--etcd", "--renew-before=8760h").has("renewed, since")
}

func (s *scenario) breakCA() {
	secrets := s.Client.CoreV1().Secrets(framework.Namespace)
	ca := s.secret("batchgate-ca")
	key := ca.Data[corev1.TLSPrivateKeyKey]
	ca.Data[corev1.TLSPrivateKeyKey] = []byte("x")
	ca, err := secrets.Update(s.t.Context(), ca, metav1.UpdateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.plugin(2, "certificates").has("reading the CA's key", "or delete it to get a new CA", "nothing was changed")
	ca.Data[corev1.TLSPrivateKeyKey] = key
	if _, err := secrets.Update(s.t.Context(), ca, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.plugin(0, "certificates")

	if err := secrets.Delete(s.t.Context(), "batchgate-ca", metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.plugin(0, "certificates").has("created, valid until", "recreated, since the CA is new")
	s.checkCertificate("batchgate-serving", "batchgate-ca", nil, x509.ExtKeyUsageServerAuth)
}

// runConcurrently runs the command several times at once. Each run must succeed or report a
// conflict.
func (s *scenario) runConcurrently() {
	secrets := s.Client.CoreV1().Secrets(framework.Namespace)
	for _, name := range servingSecrets {
		if err := secrets.Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			output, code := s.runPlugin("certificates")
			if code != 0 && !strings.Contains(output, "another client has changed it: run this again") {
				s.t.Errorf("a concurrent run exited with %d:\n%s", code, output)
			}
		})
	}
	running.Wait()
	before := s.secretContents()
	s.plugin(0, "certificates")
	s.checkChanged("run after the concurrent ones", before)
	s.checkCertificate("batchgate-serving", "batchgate-ca", nil, x509.ExtKeyUsageServerAuth)
}
