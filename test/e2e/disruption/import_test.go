// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/test/framework"
)

// controllerWatches is how long watches of controllers last. They begin just before the import and
// must end after it. The test cannot end before them.
const controllerWatches = 90 * time.Second

// kube-controller-manager is not restarted after the import. Its watches stay with kube-apiserver
// until they time out. After that, the Job controller and the garbage collector see new Jobs.
func TestImportUnderLoadMovesEveryJob(t *testing.T) {
	t.Parallel()
	s := startDedicatedEtcd(t)
	held, pods := s.jobs().Get("held"), s.jobs().PodUIDs("held")
	s.plugin(2, "import", "--etcd-servers="+s.EtcdURL()).has("the server does not use this etcd", "nothing was changed")
	s.plugin(2, s.importArgs("--etcd-servers="+s.EtcdURL())...).has("are members of different etcds", "nothing was changed")
	s.plugin(2, "takeover").has("nothing was changed")
	s.plugin(0, s.importArgs("--dry-run")...).has("would freeze writes")

	watching := time.Now()
	s.limitControllerWatches(controllerWatches)
	load := s.startLoad()
	done := s.startPlugin(s.importArgs()...)
	s.awaitFrozen(true)
	s.awaitFrozen(false)
	if time.Since(watching) > controllerWatches {
		t.Log("the import took longer than the watches of the controllers, so the controllers may not have missed any Job")
	}
	s.eventually("be gated", func() error { return s.checkGated("held") })
	s.awaitProgressIn(s.dedicated, func() {})
	load.end(s.dedicated, "held", "suspended", "finished")
	s.checkImported(10)

	var output string
	select {
	case output = <-done:
	case <-time.After(waitTimeout):
		t.Fatal("the controllers do not see new Jobs")
	}
	t.Log(output)
	if !strings.HasPrefix(output, "0\n") || !strings.Contains(output, "they see new Jobs") {
		t.Fatal("the import failed")
	}
	s.plugin(0, s.importArgs()...).has("from the dedicated etcd already")
	if diff := cmp.Diff(pods, s.jobs().PodUIDs("held")); diff != "" {
		t.Errorf("the Pods of the held Job were replaced (-before +after):\n%s", diff)
	}
	s.plugin(0, "status").has("the dedicated etcd")
	s.release("held")
	after := s.jobs().Get("held")
	if after.UID != held.UID || !after.CreationTimestamp.Equal(&held.CreationTimestamp) || !after.Status.StartTime.Equal(held.Status.StartTime) || after.Status.Succeeded != 3 {
		t.Errorf("the held Job was\n%+v\nand is\n%+v", held, after)
	}
	s.awaitNoOrphans()
}

// Controllers would not see Jobs in an etcd whose revisions are not higher than the cluster's. They
// would wait for events after the revisions that they know.
func TestImportRejectsEtcdOfLowRevision(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{})
	s.install() // on the cluster's etcd, whose revisions are low
	s.jobs().Create(framework.NewJob("pi"))
	s.plugin(2, "import", "--etcd-servers="+s.EtcdURL()).has("it has 1 Jobs and CronJobs that are left from earlier", "would silently see nothing", "--bump-revision", "nothing was changed")
	if err := s.checkFrozen(false); err != nil {
		t.Error(err)
	}
}
