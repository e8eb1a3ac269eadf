package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// world is a cluster in which v1.batch is taken over, with replicas that load the serving
// certificate from its Secret when the test says so.
type world struct {
	*fake.Cluster
	t       *testing.T
	results []steps.Result
	// served is the certificate of all replicas.
	served *x509.Certificate
}

func newWorld(t *testing.T) *world {
	t.Helper()
	storage := fake.NewMemory(1)
	w := &world{Cluster: fake.New(storage, storage), t: t}
	// The APIService of the policies exists before there is a CA.
	w.setCA(policy.PolicyAPIService, nil)
	return w
}

// takeOver points v1.batch to Batchgate with the CA bundle of the policies' APIService.
func (w *world) takeOver() {
	w.t.Helper()
	a, err := w.BatchAPIService(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	b := w.Connection()
	if b.CABundle, err = w.KnownCABundle(w.t.Context(), fake.Service); err != nil {
		w.t.Fatal(err)
	}
	if err := w.TakeOver(w.t.Context(), a, b, nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) setCA(name string, caBundle []byte) {
	w.t.Helper()
	client := w.Aggregator.ApiregistrationV1().APIServices()
	a, err := client.Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	a.Spec.CABundle = caBundle
	if _, err := client.Update(w.t.Context(), a, metav1.UpdateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) new() *Certificates {
	return &Certificates{
		Cluster: w.Cluster.Cluster, Service: fake.Service, RenewBefore: 60 * 24 * time.Hour, CheckReplicas: w.checkReplicas,
		Report: func(r steps.Result) { w.results = append(w.results, r) },
	}
}

func (w *world) run(change func(*Certificates)) error {
	w.t.Helper()
	w.results = nil
	c := w.new()
	if change != nil {
		change(c)
	}
	return c.Run(w.t.Context())
}

func (w *world) mustRun(change func(*Certificates)) {
	w.t.Helper()
	if err := w.run(change); err != nil {
		w.t.Fatalf("%v\n%+v", err, w.results)
	}
}

// result returns the detail or error of the last result of that name.
func (w *world) result(name string) string {
	for _, r := range slices.Backward(w.results) {
		if r.Name == name {
			return r.Detail + r.Error
		}
	}
	return ""
}

func (w *world) secret(name string) *corev1.Secret {
	w.t.Helper()
	secret, err := w.KubeAPIServer.CoreV1().Secrets(fake.Service.Namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return secret
}

// snapshot returns the data of all Secrets and the CA bundles of all APIServices.
func (w *world) snapshot() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	secrets, err := w.KubeAPIServer.CoreV1().Secrets("").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range secrets.Items {
		all[s.Name] = fmt.Sprintf("%q", s.Data)
	}
	for _, name := range []string{policy.PolicyAPIService, policy.BatchAPIService} {
		a, err := w.Aggregator.ApiregistrationV1().APIServices().Get(w.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		all[name] = string(a.Spec.CABundle)
	}
	return all
}

// expectChanged fails the test unless exactly these objects have changed.
func (w *world) expectChanged(before map[string]string, want ...string) {
	w.t.Helper()
	var changed []string
	for name, data := range w.snapshot() {
		if before[name] != data {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	slices.Sort(want)
	if !slices.Equal(changed, want) {
		w.t.Errorf("changed %q, want %q", changed, want)
	}
}

// load makes all replicas load the serving certificate.
func (w *world) load() {
	w.t.Helper()
	cert, err := parse(w.secret(policy.ServingSecret).Data[certKey])
	if err != nil {
		w.t.Fatal(err)
	}
	w.served = cert
}

func (w *world) checkReplicas(_ context.Context, caBundle []byte) (int, error) {
	return 2, w.verify(caBundle)
}

// verify verifies the certificate of the replicas as kube-apiserver does.
func (w *world) verify(caBundle []byte) error {
	roots, err := certutil.NewPoolFromBytes(caBundle)
	if err != nil {
		return err
	}
	_, err = w.served.Verify(x509.VerifyOptions{Roots: roots, DNSName: "batchgate-apiserver.batchgate-system.svc"})
	return err
}

// checkTrusted fails the test unless kube-apiserver trusts the replicas.
func (w *world) checkTrusted() {
	w.t.Helper()
	for _, name := range []string{policy.PolicyAPIService, policy.BatchAPIService} {
		a, err := w.Aggregator.ApiregistrationV1().APIServices().Get(w.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.verify(a.Spec.CABundle); err != nil {
			w.t.Errorf("APIService %s does not trust the replicas: %v", name, err)
		}
	}
}

// checkPair fails the test unless key and certificate of the Secret match, and its ca.crt
// verifies the certificate.
func (w *world) checkPair(name string) {
	w.t.Helper()
	data := w.secret(name).Data
	pair, err := tls.X509KeyPair(data[certKey], data[keyKey])
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	roots, err := certutil.NewPoolFromBytes(data[caKey])
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		w.t.Errorf("%s: %v", name, err)
	}
}

func withEtcd(c *Certificates)  { c.Etcd = true }
func rotateCA(c *Certificates)  { c.RotateCA = true }
func dryRun(c *Certificates)    { c.DryRun = true }
func renewNow(c *Certificates)  { c.RenewBefore = 366 * 24 * time.Hour }
func otherName(c *Certificates) { c.Service.Name = "other" }

func TestCertificates_CreateAndRenew(t *testing.T) {
	w := newWorld(t)
	before := w.snapshot()
	w.mustRun(dryRun)
	w.expectChanged(before)
	if got := w.result("CA"); !strings.Contains(got, "would be created") {
		t.Errorf("CA: %q", got)
	}

	w.mustRun(nil)
	w.expectChanged(before, policy.ServingCASecret, policy.ServingSecret, policy.PolicyAPIService)
	w.checkPair(policy.ServingSecret)
	w.load()
	w.takeOver()
	w.checkTrusted()

	before = w.snapshot()
	w.mustRun(nil)
	w.expectChanged(before)
	w.mustRun(withEtcd)
	w.expectChanged(before, policy.EtcdCASecret, policy.EtcdMemberSecret, policy.EtcdClientSecret)
	w.checkPair(policy.EtcdMemberSecret)
	w.checkPair(policy.EtcdClientSecret)

	before = w.snapshot()
	w.mustRun(renewNow) // without --etcd
	w.expectChanged(before, policy.ServingSecret, policy.EtcdMemberSecret, policy.EtcdClientSecret)
	w.checkTrusted()
	w.load()
	w.checkTrusted()

	before = w.snapshot()
	w.mustRun(otherName)
	w.expectChanged(before, policy.ServingSecret, policy.EtcdClientSecret)
}

func TestCertificates_RotateCA(t *testing.T) {
	w := newWorld(t)
	w.mustRun(nil)
	w.load()
	w.takeOver()
	first := w.secret(policy.ServingCASecret).Data[certKey]

	w.mustRun(rotateCA)
	w.checkTrusted() // replicas still serve the old certificate
	if got := w.result("old CA"); !strings.Contains(got, "kept: run this again in about two minutes") {
		t.Errorf("old CA: %q", got)
	}
	w.mustRun(nil)
	w.checkTrusted()
	if got := w.result("old CA"); !strings.Contains(got, "kept, since not all replicas") {
		t.Errorf("old CA: %q", got)
	}
	if err := w.run(rotateCA); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "until the old CA is dropped") {
		t.Errorf("a second rotation: %v", err)
	}
	w.load()
	w.checkTrusted()
	before := w.snapshot()
	w.mustRun(dryRun)
	w.expectChanged(before)
	if got := w.result("old CA"); got != "would be dropped, 2 replicas have the new serving certificate" {
		t.Errorf("old CA: %q", got)
	}
	w.mustRun(nil)
	w.checkTrusted()
	for name, data := range w.snapshot() {
		if strings.Contains(data, string(first)) {
			t.Errorf("%s still has the old CA", name)
		}
	}
	before = w.snapshot()
	w.mustRun(nil)
	w.expectChanged(before)
}

func TestCertificates_Fails(t *testing.T) {
	label := func(w *world, change func(*corev1.Secret)) {
		secret := w.secret(policy.ServingSecret)
		change(secret)
		if _, err := w.KubeAPIServer.CoreV1().Secrets(secret.Namespace).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		prepare    func(*world)
		step, want string
	}{
		"missing permission": {func(w *world) { w.Denied["update secrets"] = true }, "permissions", "the user may not update secrets"},
		"Secret of others":   {func(w *world) { label(w, func(s *corev1.Secret) { s.Labels = nil }) }, "secrets", "was not created by this command"},
		"Secret of cert-manager": {func(w *world) {
			label(w, func(s *corev1.Secret) {
				s.Labels, s.Annotations = nil, map[string]string{policy.CertManagerCertificateAnnotation: "serving"}
			})
		}, "secrets", "belongs to cert-manager's Certificate serving"},
		"CA bundle of cert-manager": {func(w *world) {
			client := w.Aggregator.ApiregistrationV1().APIServices()
			a, err := client.Get(t.Context(), policy.PolicyAPIService, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			a.Annotations = map[string]string{policy.CertManagerInjectAnnotation: "a/b"}
			if _, err := client.Update(t.Context(), a, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}, "registrations", "cert-manager maintains the CA bundle of APIService " + policy.PolicyAPIService},
		"unreadable CA key": {func(w *world) {
			secret := w.secret(policy.ServingCASecret)
			secret.Data[keyKey] = []byte("x")
			if _, err := w.KubeAPIServer.CoreV1().Secrets(secret.Namespace).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}, "CA", "or delete it to get a new CA"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mustRun(nil)
			tc.prepare(w)
			before := w.snapshot()
			if err := w.run(renewNow); !errors.Is(err, steps.ErrNothingChanged) {
				t.Errorf("the error is %v", err)
			}
			if got := w.result(tc.step); !strings.Contains(got, tc.want) {
				t.Errorf("%s: %q, want %q", tc.step, got, tc.want)
			}
			w.expectChanged(before)
		})
	}
}

// A CA that expires within a year is reported, and certificates do not outlive it.
func TestCertificates_ExpiringCA(t *testing.T) {
	w := newWorld(t)
	w.mustRun(nil)
	c := w.new()
	if _, err := c.readSecrets(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := c.authority(t.Context(), "CA", policy.ServingCASecret, false)
	if err != nil {
		t.Fatal(err)
	}
	a.Cert.NotAfter = time.Now().Add(30 * 24 * time.Hour).Truncate(time.Second)
	cert, key, err := a.Sign(servingTemplate(fake.Service))
	if err != nil {
		t.Fatal(err)
	}
	c.secrets[policy.ServingSecret].Data = map[string][]byte{certKey: cert, keyKey: key}
	if _, due := c.due(policy.ServingSecret, a, servingTemplate(fake.Service)); due != "" {
		t.Errorf("due: %q, although a new certificate would expire at the same time", due)
	}
}

func TestCertificates_NotRegistered(t *testing.T) {
	w := newWorld(t)
	if err := w.Aggregator.ApiregistrationV1().APIServices().Delete(t.Context(), policy.PolicyAPIService, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.mustRun(nil)
	if got := w.result("registrations"); !strings.Contains(got, "no APIService refers to Service batchgate-system/batchgate-apiserver yet") {
		t.Errorf("registrations: %q", got)
	}
	if got := w.result("next"); !strings.Contains(got, "see artifacts/apiservice/policy") {
		t.Errorf("next: %q", got)
	}
}

// Another instance writes between this one's reading and writing.
func TestCertificates_ConcurrentChange(t *testing.T) {
	for name, request := range map[string]string{
		"Secret":     "kube-apiserver update secrets " + policy.ServingSecret,
		"APIService": "kube-apiserver patch apiservices " + policy.BatchAPIService,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mustRun(nil)
			w.load()
			w.takeOver()
			w.Before = func(got string) error {
				if got != request {
					return nil
				}
				w.Before = nil
				w.Touch()
				secret, err := w.KubeAPIServer.Tracker().Get(corev1.SchemeGroupVersion.WithResource("secrets"), fake.Service.Namespace, policy.ServingSecret)
				if err != nil {
					t.Error(err)
				}
				touched := secret.(*corev1.Secret).DeepCopy()
				touched.ResourceVersion += "0"
				return w.KubeAPIServer.Tracker().Update(corev1.SchemeGroupVersion.WithResource("secrets"), touched, touched.Namespace)
			}
			if err := w.run(rotateCA); err == nil || !strings.Contains(err.Error(), "somebody else has changed it: run this again") {
				t.Errorf("the error is %v", err)
			}
			w.checkTrusted()
			w.mustRun(nil)
			w.load()
			w.mustRun(nil)
			w.checkTrusted()
		})
	}
}

// Whichever request fails, or ends the plugin: kube-apiserver trusts the replicas all the time,
// whether they have loaded the new certificate or not, and later runs complete the rotation.
func TestCertificates_Interrupted(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"create": func(*world) {},
		"rotate CA": func(w *world) {
			w.mustRun(withEtcd)
			w.load()
			w.takeOver()
		},
		"drop old CA": func(w *world) {
			w.mustRun(withEtcd)
			w.load()
			w.takeOver()
			w.mustRun(rotateCA)
			w.load()
		},
	} {
		for _, mode := range fake.Modes {
			t.Run(name+", "+string(mode), func(t *testing.T) {
				for n := 1; ; n++ {
					w := newWorld(t)
					prepare(w)
					before := w.snapshot()
					request, err := w.RunWithFault(n, mode, func() error {
						return w.run(func(c *Certificates) { c.Etcd, c.RotateCA = name == "create", name == "rotate CA" })
					})
					if request == "" {
						if n < 15 || err != nil {
							t.Errorf("after %d requests: %v", n, err)
						}
						return
					}
					if errors.Is(err, steps.ErrNothingChanged) {
						w.expectChanged(before)
					}
					w.completeAfterFault()
					if t.Failed() {
						t.Fatalf("request %d, %q: %v\n%+v", n, request, err, w.results)
					}
				}
			})
		}
	}
}

// completeAfterFault runs the command until nothing is left to do.
func (w *world) completeAfterFault() {
	w.t.Helper()
	if w.served != nil {
		w.checkTrusted()
		w.load() // replicas may load the Secret at any time
		w.checkTrusted()
	}
	for range 3 {
		w.mustRun(withEtcd)
		if w.served == nil {
			w.load()
			w.takeOver()
		}
		w.checkTrusted()
		w.load()
		w.checkTrusted()
	}
	for _, name := range []string{policy.ServingSecret, policy.EtcdMemberSecret, policy.EtcdClientSecret} {
		w.checkPair(name)
	}
	ca := w.secret(policy.ServingCASecret).Data
	if !bytes.Equal(ca[caKey], ca[certKey]) {
		w.t.Errorf("old CAs are left:\n%s", ca[caKey])
	}
	before := w.snapshot()
	w.mustRun(nil)
	w.expectChanged(before)
}
