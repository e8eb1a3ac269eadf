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
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/batchgate/batchgate/pkg/standalone"
)

func TestJobsSurviveRestartAndKill(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "data")
	p := startStandaloneProcess(t, directory)
	want := p.admin.create(t, "default", newJob(t))
	if code := p.terminate(t); code != 0 {
		t.Errorf("terminated server exited with code %d:\n%s", code, p.stderr)
	}
	p = startStandaloneProcess(t, directory)
	if diff := cmp.Diff(want, p.admin.get(t, jobPath("default", "pi")).job(t)); diff != "" {
		t.Errorf("Job changed by a restart (-before +after):\n%s", diff)
	}
	// The server is killed right after its response. The update must be on disk by then.
	want = p.admin.patch(t, jobPath("default", "pi"), mergePatch, `{"metadata":{"labels":{"team":"green"}},"spec":{"completions":9}}`).
		expect(t, http.StatusOK).job(t)
	p.kill()
	p = startStandaloneProcess(t, directory)
	if diff := cmp.Diff(want, p.admin.get(t, jobPath("default", "pi")).job(t)); diff != "" {
		t.Errorf("Job changed by a kill (-before +after):\n%s", diff)
	}
	p.admin.patch(t, jobPath("default", "pi"), mergePatch, `{"spec":{"suspend":true}}`).
		result(t).expectDenied(t, []string{"spec.suspend"})
}

// Until the watch cache is full, lists and watches get status 429.
func TestReadyOnlyWithFullWatchCache(t *testing.T) {
	t.Parallel()
	shared.admin.get(t, "/readyz/poststarthook/storage-readiness")
	directory := filepath.Join(t.TempDir(), "data")
	p := startStandaloneProcess(t, directory)
	const jobs = 2000
	for i := range jobs {
		job := newJob(t)
		job.Name = fmt.Sprintf("pi-%d", i)
		p.admin.create(t, "default", job)
	}
	p.terminate(t)
	p = startStandaloneProcess(t, directory)
	for _, query := range []string{"resourceVersion=0", "watch=true&resourceVersion=0&timeoutSeconds=1"} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		p.admin.do(t, request{method: http.MethodGet, path: jobsPath("default"), query: values}).expect(t, http.StatusOK)
	}
}

func TestSecondServerOnSameDirectoryFails(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "data")
	first := startStandaloneProcess(t, directory)
	first.admin.create(t, "default", newJob(t))

	second := launchStandalone(t, directory, freePort(t))
	if code := second.waitForExit(t); code != 1 {
		t.Errorf("second server exited with code %d, want 1", code)
	}
	want := "the etcd directory " + filepath.Join(directory, "etcd") + " is in use by another process: stop it, or choose another directory"
	if !strings.Contains(second.stderr.String(), want) {
		t.Errorf("output of the second server does not contain %q:\n%s", want, second.stderr)
	}
	// The kubeconfig in the directory still works for the first server.
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
		t.Errorf("first server stopped serving: %v", err)
	}
}
