// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// testEnv is a cluster with replicas that load the serving certificate from its Secret when the
// test calls load.
type testEnv struct {
	*fake.Cluster
	t       *testing.T
	results []steps.Result
	// served is the certificate of all replicas. It is nil before load is called.
	served *x509.Certificate
}

func newTestEnv(t *testing.T) *testEnv {
	t.Helper()
	storage := fake.NewMemory(1)
	e := &testEnv{Cluster: fake.New(storage, storage), t: t}
	// The APIService of the policies exists before there is a CA.
	e.setCA(policy.PolicyAPIService, nil)
	return e
}

// takeOver points v1.batch to Batchgate with the CA bundle of the policies' APIService.
func (e *testEnv) takeOver() {
	e.t.Helper()
	a, err := e.BatchAPIService(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	b := e.Connection()
	if b.CABundle, err = e.KnownCABundle(e.t.Context(), fake.Service); err != nil {
		e.t.Fatal(err)
	}
	if err := e.TakeOver(e.t.Context(), a, b, nil); err != nil {
		e.t.Fatal(err)
	}
}

func (e *testEnv) setCA(name string, caBundle []byte) {
	e.t.Helper()
	client := e.Aggregator.ApiregistrationV1().APIServices()
	a, err := client.Get(e.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	a.Spec.CABundle = caBundle
	if _, err := client.Update(e.t.Context(), a, metav1.UpdateOptions{}); err != nil {
		e.t.Fatal(err)
	}
}

func (e *testEnv) new() *Certificates {
	return &Certificates{
		Cluster: e.Cluster.Cluster, Service: fake.Service, RenewBefore: 60 * 24 * time.Hour, CheckReplicas: e.checkReplicas,
		Report: func(r steps.Result) { e.results = append(e.results, r) },
	}
}

func (e *testEnv) run(change func(*Certificates)) error {
	e.t.Helper()
	e.results = nil
	c := e.new()
	if change != nil {
		change(c)
	}
	return c.Run(e.t.Context())
}

func (e *testEnv) mustRun(change func(*Certificates)) {
	e.t.Helper()
	if err := e.run(change); err != nil {
		e.t.Fatalf("%v\n%+v", err, e.results)
	}
}

// result returns the detail or error of the last result of that name.
func (e *testEnv) result(name string) string {
	for _, r := range slices.Backward(e.results) {
		if r.Name == name {
			return r.Detail + r.Error
		}
	}
	return ""
}

func (e *testEnv) secret(name string) *corev1.Secret {
	e.t.Helper()
	secret, err := e.KubeAPIServer.CoreV1().Secrets(fake.Service.Namespace).Get(e.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	return secret
}

// snapshot returns the data of all Secrets and the CA bundles of all APIServices.
func (e *testEnv) snapshot() map[string]string {
	e.t.Helper()
	all := map[string]string{}
	secrets, err := e.KubeAPIServer.CoreV1().Secrets("").List(e.t.Context(), metav1.ListOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	for _, s := range secrets.Items {
		all[s.Name] = fmt.Sprintf("%q", s.Data)
	}
	for _, name := range []string{policy.PolicyAPIService, policy.BatchAPIService} {
		a, err := e.Aggregator.ApiregistrationV1().APIServices().Get(e.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			e.t.Fatal(err)
		}
		all[name] = string(a.Spec.CABundle)
	}
	return all
}

// expectChanged fails the test unless exactly these objects have changed.
func (e *testEnv) expectChanged(before map[string]string, want ...string) {
	e.t.Helper()
	var changed []string
	for name, data := range e.snapshot() {
		if before[name] != data {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	slices.Sort(want)
	if !slices.Equal(changed, want) {
		e.t.Errorf("changed %q, want %q", changed, want)
	}
}

// load makes all replicas load the serving certificate.
func (e *testEnv) load() {
	e.t.Helper()
	cert, err := parse(e.secret(policy.ServingSecret).Data[certKey])
	if err != nil {
		e.t.Fatal(err)
	}
	e.served = cert
}

func (e *testEnv) checkReplicas(_ context.Context, caBundle []byte) (int, error) {
	return 2, e.verify(caBundle)
}

// verify verifies the certificate of the replicas as kube-apiserver does.
func (e *testEnv) verify(caBundle []byte) error {
	roots, err := certutil.NewPoolFromBytes(caBundle)
	if err != nil {
		return err
	}
	_, err = e.served.Verify(x509.VerifyOptions{Roots: roots, DNSName: "batchgate-apiserver.batchgate-system.svc"})
	return err
}

// checkTrusted fails the test unless kube-apiserver trusts the replicas.
func (e *testEnv) checkTrusted() {
	e.t.Helper()
	for _, name := range []string{policy.PolicyAPIService, policy.BatchAPIService} {
		a, err := e.Aggregator.ApiregistrationV1().APIServices().Get(e.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			e.t.Fatal(err)
		}
		if err := e.verify(a.Spec.CABundle); err != nil {
			e.t.Errorf("APIService %s does not trust the replicas: %v", name, err)
		}
	}
}

// checkPair fails the test unless key and certificate of the Secret match, and its ca.crt
// verifies the certificate.
func (e *testEnv) checkPair(name string) {
	e.t.Helper()
	data := e.secret(name).Data
	pair, err := tls.X509KeyPair(data[certKey], data[keyKey])
	if err != nil {
		e.t.Fatalf("%s: %v", name, err)
	}
	roots, err := certutil.NewPoolFromBytes(data[caKey])
	if err != nil {
		e.t.Fatalf("%s: %v", name, err)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		e.t.Errorf("%s: %v", name, err)
	}
}

func withEtcd(c *Certificates)  { c.Etcd = true }
func rotateCA(c *Certificates)  { c.RotateCA = true }
func dryRun(c *Certificates)    { c.DryRun = true }
func renewNow(c *Certificates)  { c.RenewBefore = 366 * 24 * time.Hour }
func otherName(c *Certificates) { c.Service.Name = "other" }
