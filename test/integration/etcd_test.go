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

// stored is what etcd holds under a key.
type stored struct {
	value []byte // nil where there is nothing
	// revision is that of the last write: it changes even where the bytes do not.
	revision int64
}

func jobKey(namespace, name string) string     { return "/registry/jobs/" + namespace + "/" + name }
func cronJobKey(namespace, name string) string { return "/registry/cronjobs/" + namespace + "/" + name }

// read returns what etcd holds under the key.
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

// mustEqual fails the test where anything was written since before was read.
func (s stored) expectUnchanged(t testing.TB, before stored) {
	t.Helper()
	if !bytes.Equal(s.value, before.value) {
		t.Errorf("the stored bytes have changed (-before +after):\n%s", cmp.Diff(before.object(t), s.object(t)))
	} else if s.revision != before.revision {
		t.Errorf("the same bytes were written again: revision %d, before %d", s.revision, before.revision)
	}
}

// object decodes the bytes as kube-apiserver would, without defaults; nil where there are
// none.
func (s stored) object(t testing.TB) runtime.Object {
	t.Helper()
	if s.value == nil {
		return nil
	}
	obj, _, err := protobuf.NewSerializer(legacyscheme.Scheme, legacyscheme.Scheme).Decode(s.value, nil, nil)
	if err != nil {
		t.Fatalf("decoding the stored bytes %q: %v", s.value, err)
	}
	return obj
}

// job decodes the bytes of a Job.
func (s stored) job(t testing.TB) *batchv1.Job {
	t.Helper()
	job, ok := s.object(t).(*batchv1.Job)
	if !ok {
		t.Fatalf("no Job is stored but %q", s.value)
	}
	return job
}
