package framework

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// endpoint is a server that is ready or not, and says its name.
func endpoint(t *testing.T, name string) (port int, ready *atomic.Bool) {
	t.Helper()
	ready = &atomic.Bool{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" && !ready.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port, ready
}

func TestBalancerSendsNewConnectionsToReadyReplicasAndKeepsOldOnes(t *testing.T) {
	b, err := newBalancer(corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz"}},
		PeriodSeconds: 1, TimeoutSeconds: 5, FailureThreshold: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	onePort, oneReady := endpoint(t, "one")
	twoPort, twoReady := endpoint(t, "two")
	one, two := b.add(onePort), b.add(twoPort)
	ask := func(client *http.Client) string {
		response, err := client.Get("https://" + loopback(b.Port))
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		answer, _ := io.ReadAll(response.Body)
		return string(answer)
	}
	await := func(backend *backend, want bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); b.ready(backend) != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("ready is not %t", want)
			}
		}
	}

	if answer := ask(b.client); !strings.Contains(answer, "EOF") && !strings.Contains(answer, "reset") {
		t.Errorf("nobody is ready, and the answer is %q", answer)
	}
	oneReady.Store(true)
	await(one, true)
	lasting := &http.Client{Transport: &http.Transport{TLSClientConfig: b.client.Transport.(*http.Transport).TLSClientConfig}}
	t.Cleanup(lasting.CloseIdleConnections)
	for range 20 {
		if answer := ask(b.client) + ask(lasting); answer != "oneone" {
			t.Errorf("only one is ready, and the answers are %q", answer)
		}
	}

	twoReady.Store(true)
	await(two, true)
	b.terminate(one)
	oneReady.Store(false)
	await(one, false)
	for range 20 {
		if answer := ask(b.client); answer != "two" {
			t.Errorf("one is terminating, and the answer is %q", answer)
		}
	}
	if answer := ask(lasting); answer != "one" {
		t.Errorf("a connection to one is answered with %q", answer)
	}
}
