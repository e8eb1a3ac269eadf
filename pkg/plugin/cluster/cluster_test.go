// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
)

func newCluster() *fake.Cluster {
	storage := fake.NewMemory(1)
	return fake.New(storage, storage)
}

// Errors keep the server's reason and message, and requests their parameters.
func TestServer_Read(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("continue") == "" {
			fmt.Fprintf(w, "%s %s %s", r.URL.Path, r.URL.RawQuery, r.Header.Get("Accept"))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusGone)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"the continue parameter is too old","reason":"Expired","code":410}`)
	}))
	defer server.Close()
	c, err := cluster.New(&rest.Config{Host: server.URL + "/prefix"})
	if err != nil {
		t.Fatal(err)
	}
	fresh, closeConnection, err := c.NewConnection()
	if err != nil {
		t.Fatal(err)
	}
	defer closeConnection()
	for name, s := range map[string]cluster.Server{"shared connection": c.Kube, "new connection": fresh} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Read(t.Context(), "/apis/batch/v1/jobs", cluster.ReadOptions{Accept: "text/plain", Query: url.Values{"limit": {"1"}}})
			if err != nil || string(got) != "/prefix/apis/batch/v1/jobs limit=1 text/plain" {
				t.Errorf("got %q, %v", got, err)
			}
			_, err = s.Read(t.Context(), "/apis/batch/v1/jobs", cluster.ReadOptions{Query: url.Values{"continue": {"x"}}})
			if !apierrors.IsResourceExpired(err) || !strings.Contains(err.Error(), "the continue parameter is too old") {
				t.Errorf("unexpected error: %v", err)
			}
		})
	}
}

// serveTLS starts a server with a certificate for name and returns its address. The server counts
// the requests that have the credentials "Bearer token".
func serveTLS(t *testing.T, ca *pki.Authority, name string, authorized *int) string {
	t.Helper()
	certPEM, keyPEM, err := ca.Sign(x509.Certificate{DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token" {
			*authorized++
		}
		fmt.Fprint(w, "ok")
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // rejected handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://")
}

// The user's credentials must reach no server but Batchgate.
func TestCluster_Connect(t *testing.T) {
	ca, _, err := pki.New("ca")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := pki.New("other")
	if err != nil {
		t.Fatal(err)
	}
	authorized := 0
	serve := func(name string) string { return serveTLS(t, ca, name, &authorized) }
	c, err := cluster.New(&rest.Config{Host: "https://localhost:1", BearerToken: "token", TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	if err != nil {
		t.Fatal(err)
	}
	right, wrong := serve("batchgate-apiserver.batchgate-system.svc"), serve("other.batchgate-system.svc")
	for name, tc := range map[string]struct {
		address  string
		caBundle []byte
		want     string
	}{
		"other CA":    {right, other.CertPEM, "certificate signed by unknown authority"},
		"other name":  {wrong, ca.CertPEM, "not batchgate-apiserver.batchgate-system.svc"},
		"no CA":       {right, []byte("x"), "has no certificate in PEM"},
		"not running": {"localhost:1", ca.CertPEM, "connecting to Batchgate at localhost:1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.Connect(t.Context(), tc.address, fake.Service, tc.caBundle); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
	if authorized > 0 {
		t.Errorf("credentials were sent %d times", authorized)
	}
	direct, err := c.Connect(t.Context(), right, fake.Service, ca.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.CheckReady(t.Context(), direct); err != nil || authorized != 1 {
		t.Errorf("%v, credentials were sent %d times", err, authorized)
	}
	if direct.Certificate.DNSNames[0] != "batchgate-apiserver.batchgate-system.svc" {
		t.Errorf("unexpected DNS names of the certificate: %q", direct.Certificate.DNSNames)
	}
}

func TestBatchgate_ConnectsOnce(t *testing.T) {
	c := newCluster()
	b := c.Connection()
	first, err := b.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second, err := b.Connect(t.Context()); err != nil || second != first {
		t.Errorf("another connection: %v", err)
	}
	c.Batchgate.Down = true
	b = c.Connection()
	if _, err := b.Connect(t.Context()); err == nil || errors.Is(err, cluster.ErrNotConnected) {
		t.Errorf("unexpected first error: %v", err)
	}
	if _, err := b.Connect(t.Context()); !errors.Is(err, cluster.ErrNotConnected) {
		t.Errorf("unexpected second error: %v", err)
	}
}

func TestCluster_KnownCABundle(t *testing.T) {
	register := func(t *testing.T, c *fake.Cluster, change func(*apiregistrationv1.APIService)) {
		t.Helper()
		client := c.Aggregator.ApiregistrationV1().APIServices()
		a, err := client.Get(t.Context(), policy.PolicyAPIService, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		change(a)
		if _, err := client.Update(t.Context(), a, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	secret := func(t *testing.T, c *fake.Cluster) {
		t.Helper()
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: policy.ServingSecret}, Data: map[string][]byte{policy.SecretCAKey: []byte("of the Secret")}}
		if _, err := c.KubeAPIServer.CoreV1().Secrets(policy.Namespace).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	noCA := func(a *apiregistrationv1.APIService) { a.Spec.CABundle = nil }
	for name, tc := range map[string]struct {
		prepare   func(*testing.T, *fake.Cluster)
		want, err string
	}{
		"APIService": {func(*testing.T, *fake.Cluster) {}, "ca", ""},
		"Secret":     {func(t *testing.T, c *fake.Cluster) { register(t, c, noCA); secret(t, c) }, "of the Secret", ""},
		"other Service": {func(t *testing.T, c *fake.Cluster) {
			register(t, c, func(a *apiregistrationv1.APIService) { a.Spec.Service.Name = "other" })
			secret(t, c)
		}, "of the Secret", ""},
		"other port": {func(t *testing.T, c *fake.Cluster) {
			register(t, c, func(a *apiregistrationv1.APIService) { a.Spec.Service.Port = ptr.To[int32](8443) })
		}, "", "refers to port 8443 of Service batchgate-system/batchgate-apiserver: set --service-port=8443"},
		"none": {func(t *testing.T, c *fake.Cluster) { register(t, c, noCA) }, "", "create it with kubectl batchgate certificates, or set it with --ca-file"},
		"unreadable APIService": {func(_ *testing.T, c *fake.Cluster) {
			c.Before = func(string) error { return errors.New("unavailable") }
		}, "", "looking for the CA of the serving certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			tc.prepare(t, c)
			got, err := c.KnownCABundle(t.Context(), fake.Service)
			if string(got) != tc.want || tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("got %q, %v; want %q, %q", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestCluster_CheckReplicas(t *testing.T) {
	c := newCluster()
	updateEndpoint(t, c, func(e *discoveryv1.Endpoint) { e.TargetRef = nil })
	if _, err := c.CheckReplicas(t.Context(), fake.Service, []byte("ca")); err == nil || !strings.Contains(err.Error(), "is not a Pod") {
		t.Errorf("without a Pod: %v", err)
	}
	if err := c.KubeAPIServer.DiscoveryV1().EndpointSlices(policy.Namespace).Delete(t.Context(), "batchgate", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CheckReplicas(t.Context(), fake.Service, []byte("ca")); err == nil || !strings.Contains(err.Error(), "no replica was found") {
		t.Errorf("without endpoints: %v", err)
	}
	if _, err := c.ForwardPort(t.Context(), fake.Service); err == nil || !strings.Contains(err.Error(), "has no ready Pod") {
		t.Errorf("forwarding a port: %v", err)
	}
}

func TestCluster_CountEndpoints(t *testing.T) {
	for name, tc := range map[string]struct {
		conditions   discoveryv1.EndpointConditions
		total, ready int
	}{
		"unknown":                    {discoveryv1.EndpointConditions{}, 1, 1},
		"ready":                      {discoveryv1.EndpointConditions{Ready: ptr.To(true)}, 1, 1},
		"not ready":                  {discoveryv1.EndpointConditions{Ready: ptr.To(false)}, 1, 0},
		"terminating":                {discoveryv1.EndpointConditions{Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true)}, 0, 0},
		"published although it ends": {discoveryv1.EndpointConditions{Ready: ptr.To(true), Terminating: ptr.To(true)}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			updateEndpoint(t, c, func(e *discoveryv1.Endpoint) { e.Conditions = tc.conditions })
			total, ready, err := c.CountEndpoints(t.Context(), fake.Service)
			if err != nil || total != tc.total || ready != tc.ready {
				t.Errorf("got %d of %d, %v; want %d of %d", ready, total, err, tc.ready, tc.total)
			}
		})
	}
}

// updateEndpoint changes the endpoint of Batchgate's Service.
func updateEndpoint(t *testing.T, c *fake.Cluster, change func(*discoveryv1.Endpoint)) {
	t.Helper()
	client := c.KubeAPIServer.DiscoveryV1().EndpointSlices(policy.Namespace)
	slice, err := client.Get(t.Context(), "batchgate", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	change(&slice.Endpoints[0])
	if _, err := client.Update(t.Context(), slice, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestCluster_SingleKubeAPIServer(t *testing.T) {
	for name, tc := range map[string]struct {
		addresses []string
		batchgate string
		want      string
	}{
		"one, Batchgate elsewhere": {[]string{"10.0.0.1"}, "10.244.0.5", "10.0.0.1:6443"},
		"one, Batchgate beside it": {[]string{"10.0.0.1"}, "10.0.0.1", ""},
		"two":                      {[]string{"10.0.0.1", "10.0.0.2"}, "10.244.0.5", ""},
		"none":                     {nil, "10.244.0.5", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			updateEndpoint(t, c, func(e *discoveryv1.Endpoint) { e.Addresses = []string{tc.batchgate} })
			slice := &discoveryv1.EndpointSlice{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
				Ports:      []discoveryv1.EndpointPort{{Port: ptr.To[int32](6443)}},
			}
			for _, address := range tc.addresses {
				slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}})
			}
			if err := c.KubeAPIServer.Tracker().Add(slice); err != nil {
				t.Fatal(err)
			}
			if got := c.SingleKubeAPIServer(t.Context(), fake.Service); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCluster_RefreshDiscovery(t *testing.T) {
	c := newCluster()
	a, err := c.BatchAPIService(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.TakeOver(t.Context(), a, c.Connection(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RefreshDiscovery(t.Context()); err == nil || !strings.Contains(err.Error(), "was pointed to batchgate-system/batchgate-apiserver by another client") {
		t.Errorf("while taken over: %v", err)
	}
	if a, err = c.BatchAPIService(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.RollBack(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	c.Batchgate.Down = true
	if fresh, err := c.DiscoveryFresh(t.Context()); err != nil || fresh {
		t.Errorf("not stale: %v", err)
	}
	c.Denied["delete apiservices"] = true
	if _, err := c.RefreshDiscovery(t.Context()); err == nil || c.APIService() == nil {
		t.Errorf("without the permission: %v", err)
	}
	delete(c.Denied, "delete apiservices")

	// Recreating the APIService does not refresh discovery.
	c.Timing.Discovery = 10 * time.Millisecond
	stale := true
	c.KubeAPIServer.Change = func(path string, body []byte) []byte {
		if path == "/apis" && stale {
			return []byte(`{}`)
		}
		return body
	}
	if _, err := c.RefreshDiscovery(t.Context()); err == nil || !strings.Contains(err.Error(), "restart kube-apiserver") {
		t.Errorf("still stale: %v", err)
	}
	stale = false
	c.Timing.Discovery = 10 * time.Second
	if _, err := c.RefreshDiscovery(t.Context()); err != nil {
		t.Error(err)
	}
	if c.APIService() == nil {
		t.Error("the APIService is missing")
	}
}

// Somebody takes over while v1.batch is deleted.
func TestCluster_RefreshDiscoveryBesideTakeover(t *testing.T) {
	c := newCluster()
	done := false
	c.Before = func(request string) error {
		if request == "kube-apiserver create apiservices v1.batch" && !done {
			done = true
			return c.TakeOver(t.Context(), &cluster.APIService{}, c.Connection(), nil)
		}
		return nil
	}
	if _, err := c.RefreshDiscovery(t.Context()); err == nil || !strings.Contains(err.Error(), "was pointed to batchgate-system/batchgate-apiserver by another client") {
		t.Errorf("the error is %v", err)
	}
	if !c.TakenOver() {
		t.Error("the takeover was undone")
	}
}

// The request to delete v1.batch times out before it takes effect. The deletion must not take effect
// later, when nobody recreates the object.
func TestCluster_RefreshDiscoveryLateDelete(t *testing.T) {
	c := newCluster()
	before := c.APIService().ResourceVersion
	lost := false
	c.Before = func(request string) error {
		if request == "kube-apiserver delete apiservices v1.batch" && !lost {
			lost = true
			return errors.New("i/o timeout")
		}
		return nil
	}
	if _, err := c.RefreshDiscovery(t.Context()); err == nil || !strings.Contains(err.Error(), "i/o timeout") {
		t.Errorf("the error is %v", err)
	}
	opts := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &before}}
	if err := c.Aggregator.ApiregistrationV1().APIServices().Delete(t.Context(), policy.BatchAPIService, opts); !apierrors.IsConflict(err) {
		t.Errorf("the late request: %v", err)
	}
}

func TestRejected(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"conflict":        {apierrors.NewConflict(corev1.Resource("secrets"), "x", errors.New("y")), true},
		"wrapped":         {fmt.Errorf("x: %w", apierrors.NewBadRequest("y")), true},
		"internal error":  {apierrors.NewInternalError(errors.New("x")), false},
		"lost connection": {errors.New("connection reset by peer"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := cluster.Rejected(tc.err); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
