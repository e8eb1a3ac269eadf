package integration

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// poll sends the request, on a new connection each time, until done says so.
func (p *process) poll(t *testing.T, path string, done func(*answer, error) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		a, err := p.newUserWith(nil).send(ctx, request{method: http.MethodGet, path: path})
		return done(a, err), nil
	})
	if err != nil {
		t.Fatalf("asking for %s: %v\n%s", path, err, p.output)
	}
}

// A Pod that is deleted stays an endpoint for a while: readyz must fail first, and requests
// be answered until the delay has passed. This one never does.
func TestATerminatedServerIsNotReadyAndServesUntilTheDelayHasPassed(t *testing.T) {
	t.Parallel()
	p := startClusterProcess(t, "--shutdown-delay-duration=24h")
	p.admin.create(t, "default", newJob(t))
	p.signal(t)
	p.poll(t, "/readyz?verbose", func(a *answer, err error) bool {
		if err != nil {
			t.Errorf("it does not serve: %v", err)
		}
		return err == nil && a.code == http.StatusInternalServerError && strings.Contains(string(a.body), "[-]shutdown failed")
	})
	p.admin.get(t, "/livez")
	p.admin.create(t, "default", newJob(t, named("late")))
	job := p.admin.patch(t, jobPath("default", "pi"), mergePatch, `{"spec":{"parallelism":2}}`).expect(t, http.StatusOK).job(t)
	if *job.Spec.Parallelism != 2 {
		t.Errorf("the patched Job has parallelism %d", *job.Spec.Parallelism)
	}
	p.admin.patch(t, jobPath("default", "pi"), mergePatch, `{"spec":{"suspend":true}}`).
		result(t).expectRefused(t, []string{"spec.suspend"})
	// Who asks twice does not want to wait.
	if code := p.terminate(t); code != 1 {
		t.Errorf("asked twice to end, the server exits with %d, want 1", code)
	}
}

func TestAWriteThatIsUnderWayWhenTheServerIsTerminatedCompletes(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) *process{
		"standalone": func(t *testing.T) *process { return startProcess(t, filepath.Join(t.TempDir(), "data")) },
		"in a cluster, by default": func(t *testing.T) *process {
			return startClusterProcess(t)
		},
		"in a cluster, as the manifests have it": func(t *testing.T) *process {
			return startClusterProcess(t, "--shutdown-delay-duration=1s", "--shutdown-send-retry-after=true")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			p.admin.create(t, "default", newJob(t))
			answers, end := p.admin.stall(t, jobPath("default", "pi"), "")
			p.signal(t)
			// It takes no more requests: it does not listen, or tells them to come again.
			p.poll(t, "/apis", func(a *answer, err error) bool {
				return err != nil || a.code == http.StatusTooManyRequests
			})
			end(`{"metadata":{"labels":{"team":"green"}}}`)
			a := <-answers
			if a == nil {
				t.Fatalf("the write is not answered:\n%s", p.output)
			}
			if job := a.expect(t, http.StatusOK).job(t); job.Labels["team"] != "green" {
				t.Errorf("the Job that is answered has the labels %v", job.Labels)
			}
			if code := p.wait(t); code != 0 {
				t.Errorf("the server exits with %d, want 0:\n%s", code, p.output)
			}
		})
	}
}
