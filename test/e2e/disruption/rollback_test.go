// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A rollback from a dedicated etcd moves the Jobs back. The plugin fails without a change if it cannot do that.
func TestRollbackFromDedicatedEtcd(t *testing.T) {
	t.Parallel()
	s := startDedicatedEtcd(t)
	s.leaveInterruptedImports()
	s.plugin(1, s.importArgs("--resume", "--wait-for-controllers=5s")...).has("unfreeze", "Restart kube-controller-manager")
	s.restartControllerManager()
	s.plugin(0, s.importArgs()...).has("they see new Jobs")
	s.runJob("new")
	s.restartAPIServerUnderLoad()
	held, pods := s.jobs().Get("held"), s.jobs().PodUIDs("held")

	s.plugin(2, "rollback").has("would run finished Jobs again", "--etcd-servers", "nothing was changed")
	s.plugin(2, append([]string{"rollback"}, s.etcdArgs()...)...).has("the server does not use this etcd", "nothing was changed")
	if _, err := s.Client.BatchV1().Jobs(s.namespace).Get(t.Context(), "new", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	s.rollBackByHand()
	rollback := []string{"rollback", "--etcd-servers=" + s.EtcdURL()}
	s.plugin(0, append(rollback, "--dry-run")...).has("would freeze writes")
	s.plugin(1, append(rollback, "--wait-for-controllers=5s")...).has("Restart kube-controller-manager")
	if err := s.Batchgate.Stop(); err != nil {
		t.Fatal(err)
	}
	s.restartControllerManager()
	s.plugin(0, rollback...).has("by kube-apiserver already", "they see new Jobs")
	if after := s.jobs().Get("held"); after.UID != held.UID {
		t.Errorf("the held Job was replaced (-before +after):\n%s", cmp.Diff(held, after))
	}
	if diff := cmp.Diff(pods, s.jobs().PodUIDs("held")); diff != "" {
		t.Errorf("the Pods of the held Job were replaced (-before +after):\n%s", diff)
	}
	s.release("held")
	s.awaitComplete("new")
	s.awaitNoOrphans()
	if err := s.StartBatchgate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.plugin(2, s.importArgs()...).has("--overwrite to discard them", "nothing was changed")
}
