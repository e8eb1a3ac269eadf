// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
)

// pollUntil sends a GET on a new connection until done returns true.
func (p *process) pollUntil(t *testing.T, path string, done func(*response, error) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, waitTimeout, true, func(ctx context.Context) (bool, error) {
		resp, err := p.newUserWithCertificate(nil).send(ctx, request{method: http.MethodGet, path: path})
		return done(resp, err), nil
	})
	if err != nil {
		t.Fatalf("polling %s: %v\n%s", path, err, p.stderr)
	}
}

// beginShutdown sends SIGTERM and waits until the shutdown check of /readyz fails. Other checks fail anyway,
// because no kube-apiserver runs.
func (p *process) beginShutdown(t *testing.T) {
	t.Helper()
	p.sendSIGTERM(t)
	p.pollUntil(t, "/readyz?verbose", func(resp *response, err error) bool {
		if err != nil {
			t.Errorf("server does not serve: %v", err)
		}
		return err == nil && resp.code == http.StatusInternalServerError && strings.Contains(string(resp.body), "[-]shutdown failed")
	})
}

// A deleted Pod stays in its EndpointSlices for a while. So /readyz must fail first, and the server
// must serve requests until the delay is over. In this test the delay never ends.
func TestShutdownDelayServesWhileNotReady(t *testing.T) {
	t.Parallel()
	p := startClusterProcess(t, "--shutdown-delay-duration=24h")
	p.admin.create(t, "default", newJob(t))
	p.beginShutdown(t)
	p.admin.get(t, "/livez")
	p.admin.create(t, "default", newJob(t, named("late")))
	job := p.admin.patch(t, jobPath("default", "pi"), mergePatch, `{"spec":{"parallelism":2}}`).expect(t, http.StatusOK).job(t)
	if *job.Spec.Parallelism != 2 {
		t.Errorf("patched Job has parallelism %d, want 2", *job.Spec.Parallelism)
	}
	p.admin.patch(t, jobPath("default", "pi"), mergePatch, `{"spec":{"suspend":true}}`).
		result(t).expectDenied(t, []string{"spec.suspend"})
	// A second SIGTERM ends the server without the delay.
	if code := p.terminate(t); code != 1 {
		t.Errorf("after a second SIGTERM, server exited with code %d, want 1", code)
	}
}

func TestShutdownCompletesPendingWrite(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) *process{
		"standalone": func(t *testing.T) *process { return startStandaloneProcess(t, filepath.Join(t.TempDir(), "data")) },
		"cluster with default flags": func(t *testing.T) *process {
			return startClusterProcess(t)
		},
		"cluster with flags of the manifests": func(t *testing.T) *process {
			return startClusterProcess(t, "--shutdown-delay-duration=1s", "--shutdown-watch-termination-grace-period=5s", "--disable-http2-serving=true")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			p.admin.create(t, "default", newJob(t))
			responses, finish := p.admin.startStalledPatch(t, jobPath("default", "pi"), "")
			p.sendSIGTERM(t)
			// It accepts no more requests: it does not listen, or responds with 429.
			p.pollUntil(t, "/apis", func(resp *response, err error) bool {
				return err != nil || resp.code == http.StatusTooManyRequests
			})
			finish(`{"metadata":{"labels":{"team":"green"}}}`)
			resp := <-responses
			if resp == nil {
				t.Fatalf("pending write got no response:\n%s", p.stderr)
			}
			if job := resp.expect(t, http.StatusOK).job(t); job.Labels["team"] != "green" {
				t.Errorf("returned Job has labels %v", job.Labels)
			}
			if code := p.waitForExit(t); code != 0 {
				t.Errorf("server exited with code %d, want 0:\n%s", code, p.stderr)
			}
		})
	}
}

// During the delay, clients that reuse connections must move to another replica. The server must
// announce that in a response: if it closes a connection silently, a request sent at that moment
// is lost.
func TestShutdownClosesHTTP1Connections(t *testing.T) {
	t.Parallel()
	p := startClusterProcess(t, "--shutdown-delay-duration=24h", "--disable-http2-serving=true")
	if p.admin.closesConnection(t, "/apis/batch/v1") {
		t.Error("response closes its connection before the shutdown")
	}
	// A watch may send its headers before SIGTERM, so the server closes the connection of each watch.
	if !p.admin.closesConnection(t, "/apis/batch/v1/namespaces/default/jobs?watch=true&timeoutSeconds=1") {
		t.Error("watch does not close its connection")
	}
	p.beginShutdown(t)
	for _, path := range []string{"/apis/batch/v1", "/readyz", "/nowhere"} {
		if !p.admin.closesConnection(t, path) {
			t.Errorf("response to %s does not close its connection", path)
		}
	}
	p.terminate(t)
}

// closesConnection reports whether the response announces that the server closes the connection.
func (u *user) closesConnection(t *testing.T, path string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.server.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := u.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("reading response: %v", err)
	}
	return resp.Close
}

func TestShutdownEndsWatches(t *testing.T) {
	t.Parallel()
	p := startStandaloneProcess(t, filepath.Join(t.TempDir(), "data"), "--serve-self-link=false")
	if link := p.admin.create(t, "default", newJob(t)).SelfLink; link != "" {
		t.Errorf("response has selfLink %s", link)
	}
	w := p.admin.watch(t, jobsPath("default"), url.Values{})
	if event, job := w.next(); event != watch.Added || job.Name != "pi" {
		t.Fatalf("first event is %s %s", event, job.Name)
	}
	if code := p.terminate(t); code != 0 {
		t.Errorf("server exited with code %d, want 0", code)
	}
	var event metav1.WatchEvent
	if err := w.decoder.Decode(&event); err == nil {
		t.Errorf("watch sent %s after the server exited", event.Type)
	}
	if strings.Contains(p.stderr.String(), "panic") {
		t.Errorf("server panicked:\n%s", p.stderr)
	}
}
