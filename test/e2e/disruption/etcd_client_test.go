// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// etcdTimeout bounds one request to etcd, whose members may hang.
const etcdTimeout = 5 * time.Second

// openEtcd connects to an etcd, bypassing all API servers. It uses TLS if tls is not nil.
func openEtcd(t *testing.T, tls *transport.TLSInfo, endpoints ...string) *clientv3.Client {
	t.Helper()
	config := clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()}
	if tls != nil {
		var err error
		if config.TLS, err = tls.ClientConfig(); err != nil {
			t.Fatal(err)
		}
	}
	client, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// clusterEtcd connects to all members of the cluster's etcd.
func (s *scenario) clusterEtcd() *clientv3.Client {
	s.t.Helper()
	return openEtcd(s.t, nil, s.EtcdURLs()...)
}

// storedJobs returns the Jobs of the scenario's namespace in an etcd by name.
func (s *scenario) storedJobs(etcd *clientv3.Client) (map[string]*batchv1.Job, error) {
	prefix := s.etcdKey("jobs", "")
	response, err := etcd.Get(s.t.Context(), prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	decoder := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	jobs := map[string]*batchv1.Job{}
	for _, kv := range response.Kvs {
		obj, _, err := decoder.Decode(kv.Value, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("decoding %s: %w", kv.Key, err)
		}
		jobs[strings.TrimPrefix(string(kv.Key), prefix)] = obj.(*batchv1.Job)
	}
	return jobs, nil
}

// isStored reports whether an etcd has an object of the scenario's namespace. The resource is
// "jobs" or "cronjobs".
func (s *scenario) isStored(etcd *clientv3.Client, resource, name string) bool {
	s.t.Helper()
	response, err := etcd.Get(s.t.Context(), s.etcdKey(resource, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return response.Count == 1
}

// checkStoredIn fails the test unless an object is in the right etcd and not in the wrong one, which
// may be nil.
func (s *scenario) checkStoredIn(right, wrong *clientv3.Client, resource, name string) {
	s.t.Helper()
	if !s.isStored(right, resource, name) {
		s.t.Errorf("%s/%s is not in the etcd that it belongs to", resource, name)
	}
	if wrong != nil && s.isStored(wrong, resource, name) {
		s.t.Errorf("%s/%s is in the wrong etcd", resource, name)
	}
}

// etcdKey returns the key of an object, or the prefix of all objects of the scenario's namespace
// if the name is empty.
func (s *scenario) etcdKey(resource, name string) string {
	return "/registry/" + resource + "/" + s.namespace + "/" + name
}

// awaitMembersAgree waits until all members of an etcd have the same data at one revision.
func (s *scenario) awaitMembersAgree(etcd *clientv3.Client) {
	s.t.Helper()
	s.eventually("have the same data in all members of etcd", func() error {
		ctx, cancel := context.WithTimeout(s.t.Context(), etcdTimeout)
		defer cancel()
		response, err := etcd.Get(ctx, "any", clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		states := map[string][]string{}
		for _, endpoint := range etcd.Endpoints() {
			hash, err := etcd.HashKV(ctx, endpoint, response.Header.Revision)
			if err != nil {
				return fmt.Errorf("%s: %w", endpoint, err)
			}
			state := fmt.Sprintf("cluster %x, hash %x at revision %d, compacted at %d", hash.Header.ClusterId, hash.Hash, hash.HashRevision, hash.CompactRevision)
			states[state] = append(states[state], endpoint)
		}
		if len(states) != 1 {
			return fmt.Errorf("the members differ: %v", states)
		}
		s.t.Logf("all members of etcd agree: %v", states)
		return nil
	})
}
