// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	noSpaceMessage = "etcdserver: mvcc: database space exceeded"
	fillerPrefix   = "/filler/"
	// etcdQuota is in bytes. etcd rejects writes above it.
	etcdQuota = 32 << 20
)

func TestEtcdOutOfSpaceRecovers(t *testing.T) {
	t.Parallel()
	s := startTakenOver(t, framework.ClusterOptions{EtcdArgs: []string{fmt.Sprintf("--quota-backend-bytes=%d", etcdQuota)}})
	s.prepareComparison()
	probe := s.newWatchProbe()
	load := s.startLoad()
	s.awaitProgress(s.EtcdURL())
	etcd := s.clusterEtcd()
	batchgate, apiServer := s.Batchgate.Exited(), s.APIServer.Exited()
	s.fillEtcd(etcd)

	jobs, configMaps := s.compare(time.Minute)
	for i, request := range comparedRequests {
		full := request == "create" || request == "patch"
		if want := "500 : " + noSpaceMessage; full && describe(jobs[i]) != want {
			t.Errorf("%s of a Job: got %s, want %s", request, describe(jobs[i]), want)
		}
		// A delete needs no space.
		if !full && jobs[i] != nil {
			t.Errorf("%s of a Job: got %s, want success", request, describe(jobs[i]))
		}
		if describe(jobs[i]) != describe(configMaps[i]) {
			t.Errorf("%s: got %s for a Job, but %s for a ConfigMap", request, describe(jobs[i]), describe(configMaps[i]))
		}
	}
	if code, body := s.getBatchgate("/readyz"); code != http.StatusOK {
		t.Errorf("Batchgate serves reads, but is not ready: %d %s", code, body)
	}
	if failed := s.metric("etcd_request_errors_total", `group="batch"`); failed == 0 {
		t.Error("etcd_request_errors_total counts no failed request")
	}
	if size := s.metric("apiserver_storage_size_bytes"); size < etcdQuota/2 {
		t.Errorf("apiserver_storage_size_bytes is %v, but etcd is full at %d", size, etcdQuota)
	}

	s.freeEtcd(etcd)
	probe.change()
	s.awaitProgress(s.EtcdURL())
	seen := load.finish()
	seen.log(t)
	s.runJob("after")
	if !slices.ContainsFunc(seen.errors, func(err error) bool { return strings.Contains(err.Error(), noSpaceMessage) }) {
		t.Error("no writer was told that etcd is out of space")
	}
	s.checkNotExited("Batchgate", batchgate)
	s.checkNotExited("kube-apiserver", apiServer)
}

// fillEtcd writes to etcd until it is out of space.
func (s *scenario) fillEtcd(etcd *clientv3.Client) {
	s.t.Helper()
	for i := range 1000 {
		_, err := etcd.Put(s.t.Context(), fmt.Sprint(fillerPrefix, i), strings.Repeat("x", 1<<20))
		if err != nil && strings.Contains(err.Error(), noSpaceMessage) {
			s.t.Logf("etcd was full after %d MiB", i)
			return
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.t.Fatal("etcd is not full after 1000 MiB")
}

// freeEtcd does what an operator does with etcdctl: delete, compact, defragment, disarm.
func (s *scenario) freeEtcd(etcd *clientv3.Client) {
	s.t.Helper()
	deleted, err := etcd.Delete(s.t.Context(), fillerPrefix, clientv3.WithPrefix())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := etcd.Compact(s.t.Context(), deleted.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		s.t.Fatal(err)
	}
	for _, url := range s.EtcdURLs() {
		if _, err := etcd.Defragment(s.t.Context(), url); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := etcd.AlarmDisarm(s.t.Context(), &clientv3.AlarmMember{}); err != nil {
		s.t.Fatal(err)
	}
}
