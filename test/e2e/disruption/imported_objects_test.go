// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // defaults of batch/v1
	_ "k8s.io/kubernetes/pkg/apis/core/install"  // defaults of Pod templates
)

// checkImported compares the cluster's etcd, which has not changed since the freeze, with the
// dedicated etcd just before the import let Batchgate write. There must be at least this many
// objects.
func (s *dedicatedEtcd) checkImported(minObjects int) {
	s.t.Helper()
	before, err := storedObjects(s.t.Context(), s.shared, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	after, err := storedObjects(s.t.Context(), s.dedicated, s.importRevision()-1)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(before) < minObjects {
		s.t.Errorf("only %d objects were imported, want at least %d", len(before), minObjects)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		s.t.Errorf("the imported objects differ (-cluster +dedicated):\n%.2000s", diff)
	}
}

// storedObjects returns the Jobs and CronJobs in an etcd at a revision, by key. Revision 0 is the
// current one. The objects have the defaults that servers set when they decode them.
func storedObjects(ctx context.Context, client *clientv3.Client, revision int64) (map[string]any, error) {
	found := map[string]any{}
	for _, prefix := range []string{"/registry/jobs/", "/registry/cronjobs/"} {
		response, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(revision))
		if err != nil {
			return nil, err
		}
		for _, kv := range response.Kvs {
			obj, _, err := legacyscheme.Codecs.UniversalDeserializer().Decode(kv.Value, nil, nil)
			if err != nil {
				return nil, fmt.Errorf("decoding %s: %w", kv.Key, err)
			}
			legacyscheme.Scheme.Default(obj)
			found[string(kv.Key)] = obj
		}
	}
	return found, nil
}

// importRevision returns the revision of the dedicated etcd at which the import marker was set to
// serving.
func (s *dedicatedEtcd) importRevision() int64 {
	s.t.Helper()
	response, err := s.dedicated.Get(s.t.Context(), "/batchgate.io/import")
	if err != nil || len(response.Kvs) != 1 || !strings.Contains(string(response.Kvs[0].Value), "serving") {
		s.t.Fatalf("the dedicated etcd has no marker of a finished import: %v %v", response, err)
	}
	return response.Kvs[0].ModRevision
}
