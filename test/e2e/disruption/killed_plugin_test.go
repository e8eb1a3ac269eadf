// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	// maxKills is more than the steps of an import or a rollback.
	maxKills = 30
	// killedWriteInterval is the time between two writes of the client.
	killedWriteInterval = 200 * time.Millisecond
)

// The test kills the plugin after every step of an import, and continues with the documented command.
// Each run gets one step further than the previous one. The test then does the same with a rollback.
// A client writes all the time, and no acknowledged write is lost.
func TestKilledImportAndRollbackLoseNoWrite(t *testing.T) {
	t.Parallel()
	s := startDedicatedEtcd(t)
	plugin := buildKillablePlugin(t)
	writer := s.startAcknowledgedWriter()

	imports := s.killEveryStep(plugin, s.importArgs("--wait-for-controllers=0"), func(frozen bool) []string {
		if frozen || s.importing() {
			return s.importArgs("--wait-for-controllers=0", "--resume")
		}
		return s.importArgs("--wait-for-controllers=0")
	})
	s.plugin(0, "status").lacks("FROZEN", "an import is not finished", "the guard")
	writer.awaitMore()
	writer.check("after the import")

	rollback := []string{"rollback", "--etcd-servers=" + s.EtcdURL(), "--wait-for-controllers=0"}
	rollbacks := s.killEveryStep(plugin, rollback, func(frozen bool) []string {
		if frozen {
			return append(slices.Clone(rollback), "--resume")
		}
		return rollback
	})
	s.plugin(0, "status").lacks("FROZEN")
	writer.awaitMore()
	writer.end()
	writer.check("after the rollback")
	t.Logf("killed %d imports and %d rollbacks; %d writes were acknowledged", imports, rollbacks, len(writer.created))
	if imports < 8 || rollbacks < 5 {
		t.Errorf("killed only %d imports and %d rollbacks", imports, rollbacks)
	}
}

// lacks fails the test if the output contains one of the texts.
func (o pluginOutput) lacks(texts ...string) {
	o.t.Helper()
	for _, text := range texts {
		if strings.Contains(o.text, text) {
			o.t.Errorf("the plugin printed %q:\n%s", text, o.text)
		}
	}
}

// buildKillablePlugin builds the plugin with the tag that makes it kill itself, and returns its file.
func buildKillablePlugin(t *testing.T) string {
	t.Helper()
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubectl-batchgate")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags=batchgate_kill", "-o", file, "./cmd/kubectl-batchgate")
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, output)
	}
	return file
}

// killEveryStep runs the command and kills it after its first step. Then it runs the command that
// resume returns, and kills each run one step later than the previous one, until a run succeeds. Once
// v1.batch has been switched to the other server, a command has fewer steps left, so the step starts
// over at 1. killEveryStep returns the number of killed runs.
func (s *dedicatedEtcd) killEveryStep(plugin string, args []string, resume func(frozen bool) []string) int {
	s.t.Helper()
	step, server := 1, s.batchService()
	for kills := range maxKills {
		ctx, cancel := context.WithTimeout(s.t.Context(), waitTimeout)
		cmd := s.pluginCommand(ctx, plugin, args)
		cmd.Env = append(os.Environ(), fmt.Sprintf("BATCHGATE_KILL_AFTER_STEP=%d", step))
		output, err := cmd.CombinedOutput()
		cancel()
		s.t.Logf("kubectl batchgate %s, to be killed after step %d: %v\n%s", args[0], step, err, output)
		if err == nil {
			return kills
		}
		if cmd.ProcessState.Exited() {
			s.t.Fatalf("kubectl batchgate %s failed", strings.Join(args, " "))
		}
		step++
		if now := s.batchService(); now != server {
			step, server = 1, now
		}
		args = resume(s.checkFrozen(true) == nil)
	}
	s.t.Fatal("no run succeeded")
	return 0
}

// pluginCommand returns a command that runs a binary of the plugin.
func (s *scenario) pluginCommand(ctx context.Context, plugin string, args []string) *exec.Cmd {
	s.t.Helper()
	direct, err := url.Parse(s.DirectConfig().Host)
	if err != nil {
		s.t.Fatal(err)
	}
	all := append([]string{"--kubeconfig=" + s.Kubeconfig, "--batchgate-server=" + direct.Host, "--service-port=" + direct.Port()}, args...)
	return exec.CommandContext(ctx, plugin, all...)
}

// batchService returns the name of the Service of v1.batch. It is empty for kube-apiserver.
func (s *scenario) batchService() string {
	s.t.Helper()
	return s.batchField(".spec.service.name")
}

// importing reports whether v1.batch says that an import is not finished.
func (s *scenario) importing() bool {
	s.t.Helper()
	return s.batchField(`.metadata.annotations.batchgate\.io/etcd`) == "importing"
}

// batchField returns a field of v1.batch.
func (s *scenario) batchField(path string) string {
	s.t.Helper()
	stdout, _, err := s.Kubectl().Run(s.t.Context(), "get", "apiservice", "v1.batch", "--output=jsonpath={"+path+"}")
	if err != nil {
		s.t.Fatal(err)
	}
	return stdout
}

// acknowledgedWriter creates Jobs and records those that were acknowledged.
type acknowledgedWriter struct {
	*dedicatedEtcd
	stop    chan struct{}
	done    sync.WaitGroup
	mu      sync.Mutex
	created map[string]string
}

func (s *dedicatedEtcd) startAcknowledgedWriter() *acknowledgedWriter {
	w := &acknowledgedWriter{dedicatedEtcd: s, stop: make(chan struct{}), created: map[string]string{}}
	w.done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-w.stop:
				return
			case <-s.t.Context().Done():
				return
			case <-time.After(killedWriteInterval):
			}
			job := framework.NewJob(fmt.Sprintf("written-%d", i))
			job.Spec.Suspend = ptr.To(true)
			created, err := s.Client.BatchV1().Jobs(s.namespace).Create(s.t.Context(), job, metav1.CreateOptions{})
			if err == nil {
				w.mu.Lock()
				w.created[created.Name] = string(created.UID)
				w.mu.Unlock()
			}
		}
	})
	return w
}

func (w *acknowledgedWriter) end() {
	close(w.stop)
	w.done.Wait()
}

func (w *acknowledgedWriter) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.created)
}

// awaitMore waits until more writes are acknowledged.
func (w *acknowledgedWriter) awaitMore() {
	w.t.Helper()
	before := w.count()
	w.eventually("acknowledge writes", func() error {
		if now := w.count(); now < before+5 {
			return fmt.Errorf("%d writes, and before %d", now, before)
		}
		return nil
	})
}

// check fails the test unless the server has all Jobs whose creation was acknowledged.
func (w *acknowledgedWriter) check(when string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	list, err := w.Client.BatchV1().Jobs(w.namespace).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string]string{}
	for _, job := range list.Items {
		found[job.Name] = string(job.UID)
	}
	for name, uid := range w.created {
		if found[name] != uid {
			w.t.Errorf("%s, the acknowledged Job %s has UID %q, want %q", when, name, found[name], uid)
		}
	}
}
