// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

func TestStandaloneKeepsJobsSeparate(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{})
	pod, standalone, err := s.RunStandalone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) error {
		_, _, err := standalone.Run(t.Context(), append([]string{"--namespace=" + s.namespace}, args...)...)
		return err
	}
	if err := run("create", "job", "work", "--image=example.com/work:1"); err != nil {
		t.Fatal(err)
	}
	if err := run("patch", "job", "work", "--type=merge", `--patch={"spec":{"parallelism":2}}`); err != nil {
		t.Error(err)
	}
	if err := run("annotate", "job", "work", "by=test"); err == nil || !strings.Contains(err.Error(), denialMessage) {
		t.Errorf("annotating the Job: %v, want a denial", err)
	}
	if s.isStored(s.clusterEtcd(), "jobs", "work") {
		t.Error("the Job is in the cluster's etcd")
	}
	if err := s.kubectl("get", "job", "work"); err == nil {
		t.Error("the cluster serves the Job of the standalone server")
	}
	// A restarted Pod uses the same volume.
	if err := pod.Processes[0].Stop(); err != nil {
		t.Fatal(err)
	}
	if err := pod.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := pod.WaitUntilReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := run("get", "job", "work"); err != nil {
		t.Error(err)
	}
}
