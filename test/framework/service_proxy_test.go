// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"fmt"
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

// startEndpoint starts a server that responds with its name. Its readiness can be set.
func startEndpoint(t *testing.T, name string) (port int, ready *atomic.Bool) {
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

func TestServiceProxy_NewAndExistingConnections(t *testing.T) {
	p, err := newServiceProxy(corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz"}},
		PeriodSeconds: 1, TimeoutSeconds: 5, FailureThreshold: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	onePort, oneReady := startEndpoint(t, "one")
	twoPort, twoReady := startEndpoint(t, "two")
	one, two := p.add(onePort), p.add(twoPort)
	ask := func(client *http.Client) string {
		response, err := client.Get("https://" + loopback(p.port))
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return string(body)
	}
	waitForReady := func(b *backend, want bool) {
		t.Helper()
		Eventually(t, time.Minute, fmt.Sprintf("see ready=%t", want), func() error {
			if ready := p.ready(b); ready != want {
				return fmt.Errorf("ready=%t", ready)
			}
			return nil
		})
	}

	if response := ask(p.client); !strings.Contains(response, "EOF") && !strings.Contains(response, "reset") {
		t.Errorf("without a ready replica, the response is %q", response)
	}
	oneReady.Store(true)
	waitForReady(one, true)
	keepAlive := &http.Client{Transport: &http.Transport{TLSClientConfig: p.client.Transport.(*http.Transport).TLSClientConfig}}
	t.Cleanup(keepAlive.CloseIdleConnections)
	for range 20 {
		if responses := ask(p.client) + ask(keepAlive); responses != "oneone" {
			t.Errorf("only one is ready, and the responses are %q", responses)
		}
	}

	twoReady.Store(true)
	waitForReady(two, true)
	p.terminate(one)
	oneReady.Store(false)
	waitForReady(one, false)
	for range 20 {
		if response := ask(p.client); response != "two" {
			t.Errorf("one is terminating, and a new connection gets the response %q", response)
		}
	}
	if response := ask(keepAlive); response != "one" {
		t.Errorf("the existing connection to one gets the response %q", response)
	}
}
