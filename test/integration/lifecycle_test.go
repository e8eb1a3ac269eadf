package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/batchgate/batchgate/pkg/standalone"
)

func TestJobsSurviveARestartAndAKill(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "data")
	p := startProcess(t, directory)
	want := p.admin.create(t, "default", newJob(t))
	if code := p.terminate(t); code != 0 {
		t.Errorf("a terminated server exits with %d:\n%s", code, p.output)
	}
	p = startProcess(t, directory)
	if diff := cmp.Diff(want, p.admin.get(t, jobPath("default", "pi")).job(t)); diff != "" {
		t.Errorf("the Job has changed over a restart (-before +after):\n%s", diff)
	}
	// Killed right after the answer: an answered update is on disk.
	want = p.admin.patch(t, jobPath("default", "pi"), mergePatch, `{"metadata":{"labels":{"team":"green"}},"spec":{"completions":9}}`).
		expect(t, http.StatusOK).job(t)
	p.kill()
	p = startProcess(t, directory)
	if diff := cmp.Diff(want, p.admin.get(t, jobPath("default", "pi")).job(t)); diff != "" {
		t.Errorf("the Job has changed over a kill (-before +after):\n%s", diff)
	}
	p.admin.patch(t, jobPath("default", "pi"), mergePatch, `{"spec":{"suspend":true}}`).
		result(t).expectRefused(t, []string{"spec.suspend"})
}

// Lists and watches from a cache that is not full yet are answered with 429.
func TestAServerIsReadyOnceItsCachesAreFull(t *testing.T) {
	t.Parallel()
	shared.admin.get(t, "/readyz/poststarthook/storage-readiness")
	directory := filepath.Join(t.TempDir(), "data")
	p := startProcess(t, directory)
	const jobs = 2000
	for i := range jobs {
		job := newJob(t)
		job.Name = fmt.Sprintf("pi-%d", i)
		p.admin.create(t, "default", job)
	}
	p.terminate(t)
	p = startProcess(t, directory)
	for _, query := range []string{"resourceVersion=0", "watch=true&resourceVersion=0&timeoutSeconds=1"} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		p.admin.do(t, request{method: http.MethodGet, path: jobsPath("default"), query: values}).expect(t, http.StatusOK)
	}
}

func TestASecondServerOnADirectoryFailsAndHarmsNothing(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "data")
	first := startProcess(t, directory)
	first.admin.create(t, "default", newJob(t))

	second := tryProcess(t, directory, freePort(t))
	if code := second.wait(t); code != 1 {
		t.Errorf("the second server exits with %d, want 1", code)
	}
	want := "the etcd directory " + filepath.Join(directory, "etcd") + " is in use by another process: stop it, or choose another directory"
	if !strings.Contains(second.output.String(), want) {
		t.Errorf("the second server does not say %q but:\n%s", want, second.output)
	}
	// What the directory's kubeconfig reaches is the server that runs.
	config, err := clientcmd.BuildConfigFromFlags("", standalone.FilesIn(directory).Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	patch := []byte(`{"spec":{"parallelism":2}}`)
	if _, err := client.BatchV1().Jobs("default").Patch(t.Context(), "pi", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Errorf("the first server does not serve any more: %v", err)
	}
}

func TestATerminatedServerEndsItsWatchesAndExits(t *testing.T) {
	t.Parallel()
	p := startProcess(t, filepath.Join(t.TempDir(), "data"), "--serve-self-link=false")
	if link := p.admin.create(t, "default", newJob(t)).SelfLink; link != "" {
		t.Errorf("the selfLink is served, as %s", link)
	}
	w := p.admin.watch(t, jobsPath("default"), url.Values{})
	if event, job := w.next(); event != watch.Added || job.Name != "pi" {
		t.Fatalf("the watch begins with %s %s", event, job.Name)
	}
	if code := p.terminate(t); code != 0 {
		t.Errorf("the server exits with %d, want 0", code)
	}
	var event metav1.WatchEvent
	if err := w.decoder.Decode(&event); err == nil {
		t.Errorf("the watch goes on with %s", event.Type)
	}
	if strings.Contains(p.output.String(), "panic") {
		t.Errorf("the server panics:\n%s", p.output)
	}
}

func TestHealthAndMetricsAreServed(t *testing.T) {
	t.Parallel()
	p := startProcess(t, filepath.Join(t.TempDir(), "data"))
	anonymous := p.newUserWith(nil)
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		if got := string(anonymous.get(t, path).body); got != "ok" {
			t.Errorf("%s says %q to everyone, want ok", path, got)
		}
	}
	for _, path := range []string{"/metrics", "/version", "/openapi/v2", "/apis", "/apis/batch/v1", "/debug/pprof/", "/"} {
		anonymous.do(t, request{method: http.MethodGet, path: path}).expect(t, http.StatusForbidden)
	}
	p.admin.list(t, "/apis/batch/v1/jobs", nil)
	metrics := string(p.admin.get(t, "/metrics").body)
	for _, metric := range []string{
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="batch",resource="jobs",scope="cluster",subresource="",verb="LIST",version="v1"} 1`,
		"etcd_request_duration_seconds_bucket", "go_goroutines", "kubernetes_build_info", "apiserver_storage_size_bytes",
	} {
		if !strings.Contains(metrics, metric) {
			t.Errorf("there is no metric %s", metric)
		}
	}
}

func TestTheCommandExplainsItself(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		args  []string
		code  int
		parts []string
	}{
		"help": {
			args: []string{"--help"},
			parts: []string{
				"batchgate-apiserver", "Batchgate flags:", "Etcd flags:", "Secure serving flags:", "Authentication flags:",
				"--etcd-prefix string", `(default "/registry")`, "--serve-self-link", "--embedded-etcd-directory", "standalone",
			},
		},
		"help of standalone": {
			args:  []string{"standalone", "--help"},
			parts: []string{"Standalone flags:", "--directory", "--secure-port", "admin.kubeconfig"},
		},
		"version":                  {args: []string{"--version"}, parts: []string{"v"}},
		"no directory":             {args: []string{"standalone"}, code: 1, parts: []string{"--directory is required"}},
		"a flag that there is not": {args: []string{"--etcd"}, code: 1, parts: []string{"unknown flag: --etcd"}},
		"an argument":              {args: []string{"serve"}, code: 1, parts: []string{`unknown command "serve"`}},
		"several flags that are wrong": {
			args: []string{"--secure-port=0", "--max-requests-inflight=-1", "--logging-format=xml", "--feature-gates=Nope=true"}, code: 1,
			parts: []string{
				"--etcd-servers must be specified", "--secure-port must not be 0", "--tls-cert-file and --tls-private-key-file are required",
				"--max-requests-inflight can not be negative", "logging.format", "unrecognized feature gate: Nope", "--kubeconfig is required",
			},
		},
		"an emulated version that is none, and more": {
			args: []string{"--emulated-version=x", "--secure-port=0"}, code: 1,
			parts: []string{"as version, ", "--secure-port must not be 0"},
		},
		"an emulated version that there is not, and more": {
			args: []string{"--emulated-version=1.20", "--secure-port=0", "--kubeconfig=/nowhere/kubeconfig"}, code: 1,
			parts: []string{"emulation version 1.20", "--secure-port must not be 0", "reading --kubeconfig: stat /nowhere/kubeconfig"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, row.args...)
			out := &output{}
			cmd.Stdout, cmd.Stderr = out, out
			ended := make(chan struct{})
			if err := start(cmd, ended); err != nil {
				t.Fatal(err)
			}
			<-ended
			if code := cmd.ProcessState.ExitCode(); code != row.code {
				t.Errorf("the exit code is %d, want %d", code, row.code)
			}
			for _, part := range row.parts {
				if !strings.Contains(out.String(), part) {
					t.Errorf("the output lacks %q:\n%s", part, out)
				}
			}
		})
	}
}
