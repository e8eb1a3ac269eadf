// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// stored is the value of a key in etcd.
type stored struct {
	value []byte // nil if the key does not exist
	// revision is the revision of the last write. It changes even if the bytes do not.
	revision int64
}

func jobKey(namespace, name string) string     { return "/registry/jobs/" + namespace + "/" + name }
func cronJobKey(namespace, name string) string { return "/registry/cronjobs/" + namespace + "/" + name }

// read reads the key from etcd, bypassing the server.
func (s *server) read(t testing.TB, key string) stored {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	resp, err := s.etcd.Get(ctx, key)
	if err != nil {
		t.Fatalf("reading %s from etcd: %v", key, err)
	}
	if len(resp.Kvs) == 0 {
		return stored{}
	}
	return stored{value: resp.Kvs[0].Value, revision: resp.Kvs[0].ModRevision}
}

// expectUnchanged fails the test if anything was written to the key after before was read.
func (s stored) expectUnchanged(t testing.TB, before stored) {
	t.Helper()
	if !bytes.Equal(s.value, before.value) {
		t.Errorf("stored object changed (-before +after):\n%s", cmp.Diff(before.object(t), s.object(t)))
	} else if s.revision != before.revision {
		t.Errorf("the same bytes were written again at revision %d; the earlier revision was %d", s.revision, before.revision)
	}
}

// object decodes the value as kube-apiserver does, but sets no defaults. It returns nil if the key
// does not exist.
func (s stored) object(t testing.TB) runtime.Object {
	t.Helper()
	if s.value == nil {
		return nil
	}
	obj, _, err := protobuf.NewSerializer(legacyscheme.Scheme, legacyscheme.Scheme).Decode(s.value, nil, nil)
	if err != nil {
		t.Fatalf("decoding stored bytes %q: %v", s.value, err)
	}
	return obj
}

func (s stored) job(t testing.TB) *batchv1.Job {
	t.Helper()
	job, ok := s.object(t).(*batchv1.Job)
	if !ok {
		t.Fatalf("stored object is not a Job: %q", s.value)
	}
	return job
}
