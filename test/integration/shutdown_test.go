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

// pollUntil sends the request, on a new connection each time, until done says so.
func (p *process) pollUntil(t *testing.T, path string, done func(*response, error) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, waitTimeout, true, func(ctx context.Context) (bool, error) {
		resp, err := p.newUserWithCertificate(nil).send(ctx, request{method: http.MethodGet, path: path})
		return done(resp, err), nil
	})
	if err != nil {
		t.Fatalf("asking for %s: %v\n%s", path, err, p.stderr)
	}
}

// A Pod that is deleted stays an endpoint for a while: readyz must fail first, and requests
// be answered until the delay has passed. This one never does.
func TestShutdownDelayServesWhileNotReady(t *testing.T) {
	t.Parallel()
	p := startClusterProcess(t, "--shutdown-delay-duration=24h")
	p.admin.create(t, "default", newJob(t))
	p.sendSIGTERM(t)
	p.pollUntil(t, "/readyz?verbose", func(resp *response, err error) bool {
		if err != nil {
			t.Errorf("it does not serve: %v", err)
		}
		return err == nil && resp.code == http.StatusInternalServerError && strings.Contains(string(resp.body), "[-]shutdown failed")
	})
	p.admin.get(t, "/livez")
	p.admin.create(t, "default", newJob(t, named("late")))
	job := p.admin.patch(t, jobPath("default", "pi"), mergePatch, `{"spec":{"parallelism":2}}`).expect(t, http.StatusOK).job(t)
	if *job.Spec.Parallelism != 2 {
		t.Errorf("the patched Job has parallelism %d", *job.Spec.Parallelism)
	}
	p.admin.patch(t, jobPath("default", "pi"), mergePatch, `{"spec":{"suspend":true}}`).
		result(t).expectDenied(t, []string{"spec.suspend"})
	// Who asks twice does not want to wait.
	if code := p.terminate(t); code != 1 {
		t.Errorf("asked twice to end, the server exits with %d, want 1", code)
	}
}

func TestShutdownCompletesPendingWrite(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) *process{
		"standalone": func(t *testing.T) *process { return startStandaloneProcess(t, filepath.Join(t.TempDir(), "data")) },
		"in a cluster, by default": func(t *testing.T) *process {
			return startClusterProcess(t)
		},
		"in a cluster, as the manifests have it": func(t *testing.T) *process {
			return startClusterProcess(t, "--shutdown-delay-duration=1s", "--shutdown-watch-termination-grace-period=5s", "--disable-http2-serving=true")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			p.admin.create(t, "default", newJob(t))
			answers, end := p.admin.startStalledPatch(t, jobPath("default", "pi"), "")
			p.sendSIGTERM(t)
			// It takes no more requests: it does not listen, or tells them to come again.
			p.pollUntil(t, "/apis", func(resp *response, err error) bool {
				return err != nil || resp.code == http.StatusTooManyRequests
			})
			end(`{"metadata":{"labels":{"team":"green"}}}`)
			resp := <-answers
			if resp == nil {
				t.Fatalf("the write is not answered:\n%s", p.stderr)
			}
			if job := resp.expect(t, http.StatusOK).job(t); job.Labels["team"] != "green" {
				t.Errorf("the Job that is answered has the labels %v", job.Labels)
			}
			if code := p.waitForExit(t); code != 0 {
				t.Errorf("server exited with code %d, want 0:\n%s", code, p.stderr)
			}
		})
	}
}

// Who reuses connections must come by new ones while the delay lasts, to get to another
// replica, and be told so in an answer: a connection that is closed without a word loses what
// is sent at that moment.
func TestShutdownClosesHTTP1Connections(t *testing.T) {
	t.Parallel()
	p := startClusterProcess(t, "--shutdown-delay-duration=24h", "--disable-http2-serving=true")
	if p.admin.closesConnection(t, "/apis/batch/v1") {
		t.Error("an answer closes its connection")
	}
	// It has answered already when the server is asked to end.
	if !p.admin.closesConnection(t, "/apis/batch/v1/namespaces/default/jobs?watch=true&timeoutSeconds=1") {
		t.Error("the connection of a watch would be used again after it")
	}
	p.sendSIGTERM(t)
	p.pollUntil(t, "/readyz", func(resp *response, err error) bool { return err == nil && resp.code != http.StatusOK })
	for _, path := range []string{"/apis/batch/v1", "/readyz", "/nowhere"} {
		if !p.admin.closesConnection(t, path) {
			t.Errorf("the answer to %s does not close its connection", path)
		}
	}
	p.terminate(t)
}

// closesConnection reports whether the server says that it closes the connection after its answer.
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
		t.Errorf("the answer does not end in order: %v", err)
	}
	return resp.Close
}

func TestShutdownEndsWatches(t *testing.T) {
	t.Parallel()
	p := startStandaloneProcess(t, filepath.Join(t.TempDir(), "data"), "--serve-self-link=false")
	if link := p.admin.create(t, "default", newJob(t)).SelfLink; link != "" {
		t.Errorf("the selfLink is served, as %s", link)
	}
	w := p.admin.watch(t, jobsPath("default"), url.Values{})
	if event, job := w.next(); event != watch.Added || job.Name != "pi" {
		t.Fatalf("the watch begins with %s %s", event, job.Name)
	}
	if code := p.terminate(t); code != 0 {
		t.Errorf("server exited with code %d, want 0", code)
	}
	var event metav1.WatchEvent
	if err := w.decoder.Decode(&event); err == nil {
		t.Errorf("the watch goes on with %s", event.Type)
	}
	if strings.Contains(p.stderr.String(), "panic") {
		t.Errorf("the server panics:\n%s", p.stderr)
	}
}
