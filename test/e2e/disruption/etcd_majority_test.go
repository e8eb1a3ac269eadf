// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/batchgate/batchgate/test/framework"
)

func TestEtcdMajorityLostRecovers(t *testing.T) {
	t.Parallel()
	s := startTakenOver(t, framework.ClusterOptions{EtcdMembers: 3})
	s.prepareComparison()
	probe := s.newWatchProbe()
	load := s.startLoad()
	leader, followers := s.leader()
	s.awaitProgress(leader.URL)
	failed := s.metric("etcd_request_errors_total", `group="batch"`)
	exited := s.Batchgate.Exited()
	s.kill(leader, followers[0])

	jobs, configMaps := s.compare(10 * time.Second)
	for i, request := range comparedRequests {
		for resource, err := range map[string]error{"Job": jobs[i], "ConfigMap": configMaps[i]} {
			if err == nil || !retriable(err) {
				t.Errorf("%s of a %s: got %s, want a retriable error", request, resource, describe(err))
			}
		}
	}
	s.eventually("be not ready because of etcd", func() error {
		if code, body := s.getBatchgate("/readyz"); code != http.StatusInternalServerError || !strings.Contains(body, "[-]etcd failed") {
			return fmt.Errorf("/readyz: %d %s", code, body)
		}
		return nil
	})
	// The liveness probe of the Deployment.
	if code, body := s.getBatchgate("/livez", "etcd"); code != http.StatusOK {
		t.Errorf("the kubelet would restart Batchgate: %d %s", code, body)
	}
	if now := s.metric("etcd_request_errors_total", `group="batch"`); now <= failed {
		t.Errorf("etcd_request_errors_total of Jobs was %v and is %v", failed, now)
	}

	// The watches wait half a minute for etcd. When they end, the watch caches become invalid.
	s.eventually("lose the watch cache of Jobs", func() error {
		err := s.list(5 * time.Second)
		if !apierrors.IsTooManyRequests(err) {
			return fmt.Errorf("a list returns %s", describe(err))
		}
		t.Logf("after half a minute a list returns %s", describe(err))
		return nil
	})

	// Two of three members are a majority.
	if err := followers[0].Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	probe.change()
	t.Logf("a change was stored and watched %s after the start of the member", time.Since(began).Round(time.Second))
	s.eventually("be ready", func() error { return s.BatchgateReady(t.Context()) })
	s.awaitProgress(followers[0].URL)
	s.restart(leader)
	load.finish().log(t)
	s.runJob("after")
	s.awaitMembersAgree(s.clusterEtcd())
	s.checkNotExited("Batchgate", exited)
}

// list lists Jobs. The server gives up after the timeout.
func (s *scenario) list(timeout time.Duration) error {
	request := s.Client.BatchV1().RESTClient().Get().Namespace(s.namespace).Resource("jobs")
	return request.Param("timeout", timeout.String()).MaxRetries(0).Do(s.t.Context()).Error()
}
