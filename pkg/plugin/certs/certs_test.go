// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

func TestCertificates_CreateAndRenew(t *testing.T) {
	e := newTestEnv(t)
	before := e.snapshot()
	e.mustRun(dryRun)
	e.expectChanged(before)
	if got := e.result("CA"); !strings.Contains(got, "would be created") {
		t.Errorf("CA: %q", got)
	}

	e.mustRun(nil)
	e.expectChanged(before, policy.ServingCASecret, policy.ServingSecret, policy.PolicyAPIService)
	e.checkPair(policy.ServingSecret)
	e.load()
	e.takeOver()
	e.checkTrusted()

	before = e.snapshot()
	e.mustRun(nil)
	e.expectChanged(before)
	e.mustRun(withEtcd)
	e.expectChanged(before, policy.EtcdCASecret, policy.EtcdMemberSecret, policy.EtcdClientSecret)
	e.checkPair(policy.EtcdMemberSecret)
	e.checkPair(policy.EtcdClientSecret)

	before = e.snapshot()
	e.mustRun(renewNow) // without --etcd
	e.expectChanged(before, policy.ServingSecret, policy.EtcdMemberSecret, policy.EtcdClientSecret)
	e.checkTrusted()
	e.load()
	e.checkTrusted()

	before = e.snapshot()
	e.mustRun(otherName)
	e.expectChanged(before, policy.ServingSecret, policy.EtcdClientSecret)
}

func TestCertificates_RotateCA(t *testing.T) {
	e := newTestEnv(t)
	e.mustRun(nil)
	e.load()
	e.takeOver()
	first := e.secret(policy.ServingCASecret).Data[certKey]

	e.mustRun(rotateCA)
	e.checkTrusted() // replicas still serve the old certificate
	if got := e.result("old CA"); !strings.Contains(got, "run this again in about two minutes") {
		t.Errorf("old CA: %q", got)
	}
	e.mustRun(nil)
	e.checkTrusted()
	if got := e.result("old CA"); !strings.Contains(got, "kept, since not all replicas") {
		t.Errorf("old CA: %q", got)
	}
	if err := e.run(rotateCA); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "until the old CA is dropped") {
		t.Errorf("a second rotation: %v", err)
	}
	e.load()
	e.checkTrusted()
	before := e.snapshot()
	e.mustRun(dryRun)
	e.expectChanged(before)
	if got := e.result("old CA"); got != "would be dropped, 2 replicas have the new serving certificate" {
		t.Errorf("old CA: %q", got)
	}
	e.mustRun(nil)
	e.checkTrusted()
	for name, data := range e.snapshot() {
		if strings.Contains(data, string(first)) {
			t.Errorf("%s still has the old CA", name)
		}
	}
	before = e.snapshot()
	e.mustRun(nil)
	e.expectChanged(before)
}

func TestCertificates_Fails(t *testing.T) {
	label := func(e *testEnv, change func(*corev1.Secret)) {
		secret := e.secret(policy.ServingSecret)
		change(secret)
		if _, err := e.KubeAPIServer.CoreV1().Secrets(secret.Namespace).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		prepare    func(*testEnv)
		step, want string
	}{
		"missing permission": {func(e *testEnv) { e.Denied["update secrets"] = true }, "permissions", "the user may not update secrets"},
		"Secret of others":   {func(e *testEnv) { label(e, func(s *corev1.Secret) { s.Labels = nil }) }, "secrets", "was not created by this command"},
		"Secret of cert-manager": {func(e *testEnv) {
			label(e, func(s *corev1.Secret) {
				s.Labels, s.Annotations = nil, map[string]string{policy.CertManagerCertificateAnnotation: "serving"}
			})
		}, "secrets", "belongs to cert-manager's Certificate serving"},
		"CA bundle of cert-manager": {func(e *testEnv) {
			client := e.Aggregator.ApiregistrationV1().APIServices()
			a, err := client.Get(t.Context(), policy.PolicyAPIService, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			a.Annotations = map[string]string{policy.CertManagerInjectAnnotation: "a/b"}
			if _, err := client.Update(t.Context(), a, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}, "registrations", "cert-manager maintains the CA bundle of APIService " + policy.PolicyAPIService},
		"unreadable CA key": {func(e *testEnv) {
			secret := e.secret(policy.ServingCASecret)
			secret.Data[keyKey] = []byte("x")
			if _, err := e.KubeAPIServer.CoreV1().Secrets(secret.Namespace).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}, "CA", "or delete it to get a new CA"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			e.mustRun(nil)
			tc.prepare(e)
			before := e.snapshot()
			if err := e.run(renewNow); !errors.Is(err, steps.ErrNothingChanged) {
				t.Errorf("unexpected error: %v", err)
			}
			if got := e.result(tc.step); !strings.Contains(got, tc.want) {
				t.Errorf("%s: %q, want %q", tc.step, got, tc.want)
			}
			e.expectChanged(before)
		})
	}
}

// A certificate that expires together with its CA is not renewed before that, since the new one would
// expire at the same time.
func TestCertificates_ExpiringCA(t *testing.T) {
	e := newTestEnv(t)
	e.mustRun(nil)
	c := e.new()
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
	e := newTestEnv(t)
	if err := e.Aggregator.ApiregistrationV1().APIServices().Delete(t.Context(), policy.PolicyAPIService, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	e.mustRun(nil)
	if got := e.result("registrations"); !strings.Contains(got, "no APIService refers to Service batchgate-system/batchgate-apiserver yet") {
		t.Errorf("registrations: %q", got)
	}
	if got := e.result("next"); !strings.Contains(got, "see docs/tasks/install.md") {
		t.Errorf("next: %q", got)
	}
}

// Another client changes an object after the plugin has read it and before the plugin writes it.
func TestCertificates_ConcurrentChange(t *testing.T) {
	for name, request := range map[string]string{
		"Secret":     "kube-apiserver update secrets " + policy.ServingSecret,
		"APIService": "kube-apiserver patch apiservices " + policy.BatchAPIService,
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			e.mustRun(nil)
			e.load()
			e.takeOver()
			e.Before = func(got string) error {
				if got != request {
					return nil
				}
				e.Before = nil
				e.Touch()
				secret, err := e.KubeAPIServer.Tracker().Get(corev1.SchemeGroupVersion.WithResource("secrets"), fake.Service.Namespace, policy.ServingSecret)
				if err != nil {
					t.Error(err)
				}
				touched := secret.(*corev1.Secret).DeepCopy()
				touched.ResourceVersion += "0"
				return e.KubeAPIServer.Tracker().Update(corev1.SchemeGroupVersion.WithResource("secrets"), touched, touched.Namespace)
			}
			if err := e.run(rotateCA); err == nil || !strings.Contains(err.Error(), "another client has changed it: run this again") {
				t.Errorf("unexpected error: %v", err)
			}
			e.checkTrusted()
			e.mustRun(nil)
			e.load()
			e.mustRun(nil)
			e.checkTrusted()
		})
	}
}

// Any request may fail or be the last one before a kill. In each case kube-apiserver trusts the
// replicas throughout, whether they have loaded the new certificate or not, and later runs complete
// the rotation.
func TestCertificates_Interrupted(t *testing.T) {
	for name, prepare := range map[string]func(*testEnv){
		"create": func(*testEnv) {},
		"rotate CA": func(e *testEnv) {
			e.mustRun(withEtcd)
			e.load()
			e.takeOver()
		},
		"drop old CA": func(e *testEnv) {
			e.mustRun(withEtcd)
			e.load()
			e.takeOver()
			e.mustRun(rotateCA)
			e.load()
		},
	} {
		for _, mode := range fake.Modes {
			t.Run(name+", "+string(mode), func(t *testing.T) {
				for n := 1; ; n++ {
					e := newTestEnv(t)
					prepare(e)
					before := e.snapshot()
					request, err := e.RunWithFault(n, mode, func() error {
						return e.run(func(c *Certificates) { c.Etcd, c.RotateCA = name == "create", name == "rotate CA" })
					})
					if request == "" {
						if n < 3 || mode == fake.Fail && n < 15 || err != nil {
							t.Errorf("after %d requests: %v", n, err)
						}
						return
					}
					if errors.Is(err, steps.ErrNothingChanged) {
						e.expectChanged(before)
					}
					e.completeAfterFault()
					if t.Failed() {
						t.Fatalf("request %d, %q: %v\n%+v", n, request, err, e.results)
					}
				}
			})
		}
	}
}

// completeAfterFault runs the command until nothing is left to do.
func (e *testEnv) completeAfterFault() {
	e.t.Helper()
	if e.served != nil {
		e.checkTrusted()
		e.load() // replicas may load the Secret at any time
		e.checkTrusted()
	}
	for range 3 {
		e.mustRun(withEtcd)
		if e.served == nil {
			e.load()
			e.takeOver()
		}
		e.checkTrusted()
		e.load()
		e.checkTrusted()
	}
	for _, name := range []string{policy.ServingSecret, policy.EtcdMemberSecret, policy.EtcdClientSecret} {
		e.checkPair(name)
	}
	ca := e.secret(policy.ServingCASecret).Data
	if !bytes.Equal(ca[caKey], ca[certKey]) {
		e.t.Errorf("old CAs are left:\n%s", ca[caKey])
	}
	before := e.snapshot()
	e.mustRun(nil)
	e.expectChanged(before)
}
