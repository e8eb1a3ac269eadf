// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package outage

import (
	"errors"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// After an orderly shutdown, kube-apiserver waits for v1.batch. In a cluster whose Batchgate runs in
// Pods, these would wait for kube-apiserver.
func TestUnblockStartsKubeAPIServer(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.TakeOver(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	before := s.APIService()
	s.ExpectPlugin(2, []string{"unblock"}, "v1.batch is available already", "nothing was changed")

	if err := cluster.Batchgate.Stop(); err != nil {
		t.Fatal(err)
	}
	s.Run("wait", "apiservice", "v1.batch", "--for=condition=Available=false", "--timeout=60s")
	if err := cluster.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.APIServer.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("have a kube-apiserver that only waits for v1.batch", func() error {
		_, stderr, err := s.Try("get", "--raw=/readyz?exclude=autoregister-completion")
		if err != nil {
			return errors.New(stderr)
		}
		return nil
	})
	if err := cluster.APIServerReady(t.Context()); err == nil {
		t.Fatal("kube-apiserver does not wait for v1.batch")
	}
	s.ExpectPlugin(1, []string{"status"}, "BLOCKED", "run kubectl batchgate unblock")
	s.ExpectPlugin(0, []string{"unblock", "--dry-run"}, "would set the condition Available of v1.batch to True")
	if err := cluster.APIServerReady(t.Context()); err == nil {
		t.Fatal("the dry run unblocked kube-apiserver")
	}
	s.ExpectPlugin(0, []string{"unblock"}, "was set to True", "no longer waits")
	s.Eventually("have a ready kube-apiserver", func() error { return cluster.APIServerReady(t.Context()) })
	if after := s.APIService(); after != before {
		t.Errorf("after unblock, the APIService is\n%s\nwant\n%s", after, before)
	}

	// Updates of Jobs fail until Batchgate is back.
	if _, stderr, err := s.Try("annotate", "job", "pi", "a=b"); err == nil || strings.Contains(stderr, "annotated") {
		t.Error("an update got around Batchgate")
	}
	if err := cluster.StartBatchgate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The condition may still be the one that unblock set, and kube-apiserver's next check may have
	// begun before Batchgate was back. So only a denied update shows that Batchgate is reachable.
	s.Eventually("have updates gated again", func() error { return checkGated(s) })
	s.Run("wait", "apiservice", "v1.batch", "--for=condition=Available", "--timeout=110s")
	s.ExpectPlugin(0, []string{"status"}, "True (Passed)", ", ready")
}
