// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/test/framework"
)

// firstRevision is the first revision that the overlay's init container sets.
const firstRevision = 1_000_000_000_000

// limitCriticalPods allows critical Pods only in namespaces with a quota for them, as on GKE.
const limitCriticalPods = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes:
      - {scopeName: PriorityClass, operator: In, values: [system-node-critical, system-cluster-critical]}
`

func TestDedicatedEtcdServesJobs(t *testing.T) {
	t.Parallel()
	admission := filepath.Join(t.TempDir(), "admission.yaml")
	if err := os.WriteFile(admission, []byte(limitCriticalPods), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, framework.ClusterOptions{APIServerArgs: []string{"--admission-control-config-file=" + admission}})
	began := time.Now()
	files, err := s.InstallDedicatedEtcd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the installation took %s", time.Since(began))
	etcd := openDedicatedEtcd(t, files)
	s.takeOver()
	// The watches of kube-controller-manager stay with kube-apiserver, which does not see this etcd.
	s.restartControllerManager()
	s.runGatedJob("work")
	s.checkStoredIn(etcd, s.clusterEtcd(), "jobs", "work")

	s.awaitMembersAgree(etcd)
	for i, endpoint := range files.Endpoints {
		status, err := etcd.Status(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if status.Header.Revision <= firstRevision {
			t.Errorf("member %d is at revision %d, want more than %d", i, status.Header.Revision, firstRevision)
		}
	}
	checkOldRevisionsCompacted(t, etcd)

	// Init containers run at every start of a Pod, and must not change existing data.
	for i, member := range files.Members {
		if err := member.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := files.Pods[i].Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("patch the Job after all members were killed", func() error {
		return s.kubectl("label", "--overwrite", "job", "work", "after=crash")
	})
	checkOldRevisionsCompacted(t, etcd)
	s.loseVolume(files, etcd, len(files.Pods)-1)
}

// loseVolume deletes the data of a member while the others hang, and recovers the member as its init
// container says.
func (s *scenario) loseVolume(files *framework.DedicatedEtcd, etcd *clientv3.Client, i int) {
	s.t.Helper()
	if err := files.Members[i].Kill(); err != nil {
		s.t.Fatal(err)
	}
	name := fmt.Sprintf("batchgate-etcd-%d", i)
	data, logFile := filepath.Join(s.Dir, "volumes", "data-"+name, "data"), filepath.Join(s.Dir, name+"-seed.log")
	if err := errors.Join(os.RemoveAll(data), os.Remove(logFile)); err != nil {
		s.t.Fatal(err)
	}
	for _, other := range files.Members[:i] {
		if err := other.Pause(); err != nil {
			s.t.Fatal(err)
		}
	}
	started := make(chan error, 1)
	go func() { started <- files.Pods[i].Start(s.t.Context()) }()
	s.eventually("wait for the members that hang", func() error {
		log, err := os.ReadFile(logFile)
		if err == nil && !strings.Contains(string(log), "Waiting until all members of the etcd cluster answer") {
			err = fmt.Errorf("the log of the init container is:\n%s", log)
		}
		return err
	})
	for _, other := range files.Members[:i] {
		if err := other.Resume(); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := <-started; err == nil {
		s.t.Fatal("a member without its data started as a new one")
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		s.t.Errorf("the init container created data: %v", err)
	}
	log, err := os.ReadFile(logFile)
	if err != nil {
		s.t.Fatal(err)
	}
	advice := regexp.MustCompile(`etcdctl member remove ([0-9a-f]+), then etcdctl member add ` + name + ` --peer-urls=([^"\s]+)`).FindSubmatch(log)
	if advice == nil {
		s.t.Fatalf("the init container does not say how to recover:\n%s", log)
	}
	id, err := strconv.ParseUint(string(advice[1]), 16, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	s.reconfigure("remove the member", rpctypes.ErrMemberNotFound, func(ctx context.Context) error {
		_, err := etcd.MemberRemove(ctx, id)
		return err
	})
	if err := files.Pods[i].Start(s.t.Context()); err == nil {
		s.t.Fatal("a member that the others do not know started")
	}
	s.reconfigure("add the member", rpctypes.ErrPeerURLExist, func(ctx context.Context) error {
		_, err := etcd.MemberAdd(ctx, []string{string(advice[2])})
		return err
	})
	if err := files.Pods[i].Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if err := files.Pods[i].WaitUntilReady(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.awaitMembersAgree(etcd)
}

// reconfigure changes the members of an etcd. etcd rejects this while its members are unhealthy,
// and does not respond if the leader changes at that moment. So each try is short, as with etcdctl.
// A retry that fails with the error done means that an earlier try succeeded.
func (s *scenario) reconfigure(message string, done error, change func(context.Context) error) {
	s.t.Helper()
	s.eventually(message, func() error {
		ctx, cancel := context.WithTimeout(s.t.Context(), etcdTimeout)
		defer cancel()
		err := change(ctx)
		if errors.Is(err, done) {
			return nil
		}
		return err
	})
}

// checkOldRevisionsCompacted watches from a low revision, such as the cluster's etcd has. etcd must
// report that the revision is compacted, so that clients list again.
func checkOldRevisionsCompacted(t *testing.T, etcd *clientv3.Client) {
	t.Helper()
	select {
	case response := <-etcd.Watch(t.Context(), "/registry/jobs/", clientv3.WithPrefix(), clientv3.WithRev(5000)):
		if response.CompactRevision < firstRevision {
			t.Errorf("a watch from an old revision received %+v", response)
		}
	case <-time.After(waitTimeout):
		t.Error("a watch from an old revision received nothing")
	}
}
