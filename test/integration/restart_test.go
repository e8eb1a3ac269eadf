// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
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
	fillEtcd(t, p, jobs)
	p.terminate(t)
	p = startStandaloneProcess(t, directory)
	list := p.admin.list(t, jobsPath("default"), url.Values{"resourceVersion": {"0"}})
	if len(list.Items) != jobs {
		t.Errorf("list from the watch cache has %d Jobs, want %d", len(list.Items), jobs)
	}
	p.admin.watch(t, jobsPath("default"), url.Values{"resourceVersion": {"0"}})
}

// fillEtcd writes the given number of Jobs directly to etcd, which is much faster than creating
// them.
func fillEtcd(t *testing.T, p *process, jobs int) {
	t.Helper()
	p.etcd = p.embeddedEtcd(t)
	p.admin.create(t, "default", newJob(t, named("pi-0")))
	job := p.read(t, jobKey("default", "pi-0")).job(t)
	const transaction = 100 // etcd's limit is 128 operations
	for first := 0; first < jobs; first += transaction {
		var puts []clientv3.Op
		for i := first; i < min(first+transaction, jobs); i++ {
			job.Name, job.UID = fmt.Sprintf("pi-%d", i), types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
			puts = append(puts, clientv3.OpPut(jobKey("default", job.Name), string(encodeLikeKubeAPIServer(t, job))))
		}
		if _, err := p.etcd.Txn(t.Context()).Then(puts...).Commit(); err != nil {
			t.Fatalf("writing Jobs to etcd: %v", err)
		}
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
