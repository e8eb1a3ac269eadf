package disruption

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	certutil "k8s.io/client-go/util/cert"

	"github.com/batchgate/batchgate/cmd/kubectl-batchgate/app"
	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/test/framework"
)

const managedByLabel = "app.kubernetes.io/managed-by"

var (
	servingSecrets = []string{"batchgate-ca", policy.ServingSecret}
	etcdSecrets    = []string{"batchgate-etcd-ca", "batchgate-etcd-member", "batchgate-etcd-client"}
)

// The plugin needs no Batchgate for this, only the namespace.
func TestCertificatesAreMadeOnceAndRenewedWhenTheyMustBe(t *testing.T) {
	d := start(t, framework.Features{})
	d.plugin(2, "certificates").says("install artifacts/base first", "nothing was changed")
	if _, _, err := d.Kubectl().Run(t.Context(), "apply", "--server-side", "--kustomize", "test/framework/overlay"); err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(servingSecrets, etcdSecrets)

	d.plugin(0, "certificates", "--etcd", "--dry-run").says("would be created", "0 exist, 5 missing")
	if left := d.contents(); len(left) > 0 {
		t.Errorf("a dry run has made %d Secrets", len(left))
	}
	reader, err := d.KubectlAs("reader")
	if err != nil {
		t.Fatal(err)
	}
	d.plugin(2, "certificates", "--kubeconfig="+reader.Kubeconfig).says("the user may not get secrets, create secrets, update secrets, get apiservices, patch apiservices", "nothing was changed")

	d.plugin(0, "certificates").says("created, valid until")
	d.plugin(0, "certificates", "--etcd").says("2 exist, 3 missing")
	first := d.contents()
	if len(first) != len(all) {
		t.Errorf("there are %d Secrets, want %d", len(first), len(all))
	}
	d.checkCertificate(policy.ServingSecret, "batchgate-ca", []string{"batchgate-apiserver.batchgate-system.svc", "batchgate-apiserver.batchgate-system.svc.cluster.local"}, x509.ExtKeyUsageServerAuth)
	member := []string{"etcd-0.batchgate-etcd.batchgate-system.svc", "batchgate-etcd.batchgate-system.svc", "localhost", "127.0.0.1"}
	d.checkCertificate("batchgate-etcd-member", "batchgate-etcd-ca", member, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	d.checkCertificate("batchgate-etcd-client", "batchgate-etcd-ca", nil, x509.ExtKeyUsageClientAuth)

	d.plugin(0, "certificates", "--etcd")
	d.expectChanged("run again", first)
	d.plugin(0, "certificates", "--etcd", "--renew-before=8760h", "--dry-run").says("would be renewed, since the last one is valid until")
	d.expectChanged("a dry run", first)
	d.plugin(0, "certificates", "--renew-before=8760h").says("renewed, since the last one is valid until")
	d.expectChanged("all were due, with those of etcd that are there", first, policy.ServingSecret, "batchgate-etcd-member", "batchgate-etcd-client")
	before := d.contents()
	d.plugin(0, "certificates", "--service=other").says("recreated, since it lacks the name other.batchgate-system.svc")
	d.expectChanged("it lacks a name, and the client has another", before, policy.ServingSecret, "batchgate-etcd-client")

	var report struct{ Steps []steps.Result }
	if err := json.Unmarshal([]byte(d.plugin(0, "certificates", "--output=json").output), &report); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(report.Steps, func(r steps.Result) bool { return r.Name == "serving certificate" && r.Error == "" }) {
		t.Errorf("the steps are %+v", report.Steps)
	}

	t.Run("what others have made is left alone", func(t *testing.T) { d.with(t).leavesOthersAlone() })
	t.Run("a lost or broken CA", func(t *testing.T) { d.with(t).losesItsCA() })
	t.Run("at once by many", func(t *testing.T) { d.with(t).runsAtOnce() })
}

// with returns the drill for a part of the test.
func (d *drill) with(t *testing.T) *drill {
	return &drill{Cluster: d.Cluster, t: t, namespace: d.namespace}
}

func (d *drill) leavesOthersAlone() {
	before := d.contents()
	run := func(args ...string) {
		d.t.Helper()
		if _, _, err := d.Kubectl().Run(d.t.Context(), slices.Concat([]string{"--namespace=" + framework.Namespace}, args)...); err != nil {
			d.t.Fatal(err)
		}
	}
	for _, name := range []string{policy.ServingSecret, "batchgate-etcd-client"} {
		run("label", "secret", name, managedByLabel+"-")
		d.plugin(2, "certificates", "--etcd", "--renew-before=8760h").says(name+" was not created by this command", "renew it the way it was created", "nothing was changed")
		run("label", "secret", name, managedByLabel+"=Helm")
		d.plugin(2, "certificates", "--etcd", "--renew-before=8760h").says(name + " was not created by this command")
		run("annotate", "secret", name, "cert-manager.io/certificate-name=serving")
		d.plugin(2, "certificates", "--etcd", "--renew-before=8760h").says("belongs to cert-manager's Certificate serving")
		run("annotate", "secret", name, "cert-manager.io/certificate-name-")
		d.expectChanged("refused", before)
		// As the error says.
		run("label", "secret", name, "--overwrite", managedByLabel+"=kubectl-batchgate")
	}
	d.plugin(0, "certificates", "--etcd", "--renew-before=8760h").says("renewed, since")
}

func (d *drill) losesItsCA() {
	secrets := d.Client.CoreV1().Secrets(framework.Namespace)
	ca := d.secret("batchgate-ca")
	whole := ca.Data[corev1.TLSPrivateKeyKey]
	ca.Data[corev1.TLSPrivateKeyKey] = []byte("x")
	ca, err := secrets.Update(d.t.Context(), ca, metav1.UpdateOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	d.plugin(2, "certificates").says("reading the CA's key", "or delete it to get a new CA", "nothing was changed")
	ca.Data[corev1.TLSPrivateKeyKey] = whole
	if _, err := secrets.Update(d.t.Context(), ca, metav1.UpdateOptions{}); err != nil {
		d.t.Fatal(err)
	}
	d.plugin(0, "certificates")

	if err := secrets.Delete(d.t.Context(), "batchgate-ca", metav1.DeleteOptions{}); err != nil {
		d.t.Fatal(err)
	}
	d.plugin(0, "certificates").says("created, valid until", "recreated, since the CA is new")
	d.checkCertificate(policy.ServingSecret, "batchgate-ca", nil, x509.ExtKeyUsageServerAuth)
}

// runsAtOnce runs the command many times at once, each of which succeeds or says that another
// was faster.
func (d *drill) runsAtOnce() {
	secrets := d.Client.CoreV1().Secrets(framework.Namespace)
	for _, name := range servingSecrets {
		if err := secrets.Delete(d.t.Context(), name, metav1.DeleteOptions{}); err != nil {
			d.t.Fatal(err)
		}
	}
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			var output bytes.Buffer
			code := app.Main(d.t.Context(), genericiooptions.IOStreams{In: strings.NewReader(""), Out: &output, ErrOut: &output}, []string{"certificates", "--kubeconfig=" + d.Kubeconfig})
			if code != 0 && !strings.Contains(output.String(), "somebody else has changed it: run this again") {
				d.t.Errorf("one of many has ended with %d:\n%s", code, output.String())
			}
		})
	}
	running.Wait()
	before := d.contents()
	d.plugin(0, "certificates")
	d.expectChanged("nothing is left to do", before)
	d.checkCertificate(policy.ServingSecret, "batchgate-ca", nil, x509.ExtKeyUsageServerAuth)
}

// contents returns what is in the Secrets that are the plugin's, by name.
func (d *drill) contents() map[string]string {
	d.t.Helper()
	list, err := d.Client.CoreV1().Secrets(framework.Namespace).List(d.t.Context(), metav1.ListOptions{LabelSelector: managedByLabel + "=kubectl-batchgate"})
	if err != nil {
		d.t.Fatal(err)
	}
	contents := map[string]string{}
	for _, secret := range list.Items {
		var data bytes.Buffer
		for _, key := range []string{"tls.crt", "tls.key", "ca.crt"} {
			fmt.Fprintf(&data, "%s\n", secret.Data[key])
		}
		contents[secret.Name] = data.String()
	}
	return contents
}

// expectChanged expects these Secrets, and no others, to have another content than before.
func (d *drill) expectChanged(when string, before map[string]string, want ...string) {
	d.t.Helper()
	var changed []string
	for name, content := range d.contents() {
		if content != before[name] {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	slices.Sort(want)
	if !slices.Equal(changed, want) {
		d.t.Errorf("%s: changed are %q, want %q", when, changed, want)
	}
}

// checkCertificate checks a Secret: the key is the certificate's, which is for a year, for these
// names and uses, and signed by the CA.
func (d *drill) checkCertificate(name, ca string, names []string, uses ...x509.ExtKeyUsage) {
	d.t.Helper()
	secret, authority := d.secret(name), d.secret(ca)
	if secret.Type != corev1.SecretTypeTLS {
		d.t.Errorf("%s is of type %s", name, secret.Type)
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		d.t.Fatalf("%s: %v", name, err)
	}
	roots, err := certutil.NewPoolFromBytes(authority.Data[corev1.TLSCertKey])
	if err != nil {
		d.t.Fatal(err)
	}
	for _, use := range uses {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			d.t.Errorf("%s, for use %d: %v", name, use, err)
		}
	}
	if !slices.Equal(pair.Leaf.ExtKeyUsage, uses) {
		d.t.Errorf("%s is for %v, want %v", name, pair.Leaf.ExtKeyUsage, uses)
	}
	for _, n := range names {
		if err := pair.Leaf.VerifyHostname(n); err != nil {
			d.t.Errorf("%s: %v", name, err)
		}
	}
	if days := time.Until(pair.Leaf.NotAfter).Hours() / 24; days < 364 || days > 366 {
		d.t.Errorf("%s is valid for %.0f days", name, days)
	}
	if !bytes.Equal(secret.Data["ca.crt"], authority.Data["ca.crt"]) {
		d.t.Errorf("ca.crt of %s is not that of %s", name, ca)
	}
}
