// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/test/framework"
)

// kube-apiserver keeps batch/v1 in a separate etcd, by --etcd-servers-overrides. Batchgate uses the
// same one.
func TestBatchEtcdServesJobs(t *testing.T) {
	t.Parallel()
	batch, err := framework.StartBatchEtcd(t.Context(), t.TempDir(), binaries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := batch.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := start(t, framework.ClusterOptions{APIServerArgs: batch.APIServerArgs()})
	if err := s.InstallBatchEtcd(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	right := openEtcd(t, &transport.TLSInfo{TrustedCAFile: batch.CAFile, CertFile: batch.CertFile, KeyFile: batch.KeyFile}, batch.URL)
	wrong := s.clusterEtcd()
	s.takeOverAndBack(right, wrong)
	if err := s.kubectl("create", "cronjob", "nightly", "--image=example.com/work:1", "--schedule=0 0 1 1 *"); err != nil {
		t.Fatal(err)
	}
	s.checkStoredIn(right, wrong, "cronjobs", "nightly")
	response, err := right.Get(t.Context(), "/registry/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range response.Kvs {
		if resource := strings.Split(string(kv.Key), "/")[2]; !slices.Contains([]string{"jobs", "cronjobs", "policy.batchgate.io"}, resource) {
			t.Errorf("the etcd of Jobs also has %s", kv.Key)
		}
	}
}
