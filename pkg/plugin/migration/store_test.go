// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
)

// revisionOnly lists no objects.
type revisionOnly struct{ fake.Storage }

func (s revisionOnly) List(resource string) ([]fake.Object, int64, error) {
	_, revision, err := s.Storage.List("none")
	return nil, revision, err
}

func TestOpenStore(t *testing.T) {
	e := newTestEnv(t)
	shared, dedicated := e.etcds.sharedEndpoint, e.etcds.dedicatedEndpoint
	store, err := OpenStore(t.Context(), StoreOptions{Servers: []string{shared}, Prefix: "registry/"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if got := store.key("jobs/a/b"); got != "/registry/jobs/a/b" {
		t.Errorf("unexpected key: %q", got)
	}
	for name, tc := range map[string]struct {
		opts StoreOptions
		want string
	}{
		"two etcds":            {StoreOptions{Servers: []string{shared, dedicated}}, "are members of different etcds"},
		"missing CA":           {StoreOptions{Servers: []string{shared}, CAFile: "/nowhere"}, "reading the certificates for etcd"},
		"no endpoints":         {StoreOptions{}, "connecting to etcd"},
		"unreachable endpoint": {StoreOptions{Servers: []string{"unix:///nowhere"}}, "reading the status of etcd"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if _, err := OpenStore(ctx, tc.opts); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}

// Pages and requests to etcd are limited.
func TestCopyTo_ManyObjects(t *testing.T) {
	e := newTestEnv(t)
	const jobs = cluster.PageSize + maxOperations + 1
	e.want = map[string]string{}
	e.KubeAPIServer.Storage = fake.NewMemory(1)
	for i := range jobs {
		job := newJob(fmt.Sprintf("job-%04d", i))
		if i%100 == 0 {
			job.Annotations = map[string]string{"large": strings.Repeat("x", maxBytes/3)}
		}
		if err := e.KubeAPIServer.Storage.Put("jobs", job); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxOperations + 1 {
		if err := (etcdStorage{e.etcds.dedicated}).Put("cronjobs", newJob(fmt.Sprintf("stale-%04d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.dedicated.mark(t.Context(), &marker{}); err != nil {
		t.Fatal(err)
	}
	var progress []string
	copied, err := copyTo(t.Context(), e.KubeAPIServer, e.dedicated, func(text string) { progress = append(progress, text) })
	if err != nil {
		t.Fatal(err)
	}
	if len(copied) != jobs || len(progress) != 3 {
		t.Errorf("copied %d objects, progress %q", len(copied), progress)
	}
	stored, err := e.dedicated.checksums(t.Context())
	if err != nil || !maps.Equal(stored, copied) {
		t.Errorf("%d objects are stored: %v", len(stored), err)
	}
	if n := writes(t, e, func() {
		if _, err := copyTo(t.Context(), e.KubeAPIServer, e.dedicated, func(string) {}); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("a repeated copy writes %d times", n)
	}
}

// writes returns how often run writes to etcd.
func writes(t *testing.T, e *testEnv, run func()) int {
	t.Helper()
	n := 0
	e.Before = func(request string) error {
		if strings.HasSuffix(request, "commit") {
			n++
		}
		return nil
	}
	defer func() { e.Before = nil }()
	run()
	return n
}

// etcd compacts the revision of a list between two pages. The error has a token that continues the list at
// a newer revision.
func TestRead_CompactedRevision(t *testing.T) {
	e := newTestEnv(t)
	want, err := serverChecksums(t.Context(), e.KubeAPIServer)
	if err != nil || len(want) != 3 {
		t.Fatalf("%d objects, %v", len(want), err)
	}
	s := &pagedServer{Server: e.KubeAPIServer, compactAt: 1}
	got, err := serverChecksums(t.Context(), s)
	if err != nil || !maps.Equal(got, want) || s.compactAt != 0 {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// pagedServer returns one object per page. The first request for page compactAt, unless that is 0, fails
// with an error that has a token for a newer revision.
type pagedServer struct {
	cluster.Server
	compactAt int
}

func (s *pagedServer) Read(ctx context.Context, path string, opts cluster.ReadOptions) ([]byte, error) {
	content, err := s.Server.Read(ctx, path, opts)
	if err != nil {
		return nil, err
	}
	var list map[string]any
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, err
	}
	token := opts.Query.Get("continue")
	revision, number, _ := strings.Cut(token, "/")
	page, _ := strconv.Atoi(number) // 0 without a token
	if s.compactAt != 0 && page == s.compactAt && revision == "old" {
		s.compactAt = 0
		expired := apierrors.NewResourceExpired("too old")
		expired.ErrStatus.Continue = "new/" + number
		return nil, expired
	}
	items, _ := list["items"].([]any)
	if page < len(items)-1 {
		list["metadata"].(map[string]any)["continue"] = fmt.Sprintf("%s/%d", cmp.Or(revision, "old"), page+1)
	}
	if len(items) > 0 {
		list["items"] = items[page : page+1]
	}
	return json.Marshal(list)
}

func TestRead_Errors(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*testEnv)
		want    string
	}{
		"unknown field": {func(e *testEnv) {
			e.KubeAPIServer.Change = func(_ string, body []byte) []byte {
				return bytes.Replace(body, []byte(`"spec":{`), []byte(`"spec":{"novel":1,`), 1)
			}
		}, "use the plugin of the cluster's minor version"},
		"compacted revision without a token": {func(e *testEnv) {
			e.Before = func(string) error { return apierrors.NewResourceExpired("too old") }
		}, "listing jobs: too old"},
		"other error": {func(e *testEnv) {
			e.Before = func(string) error { return apierrors.NewUnauthorized("no") }
		}, "listing jobs"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			tc.prepare(e)
			_, err := serverChecksums(t.Context(), e.KubeAPIServer)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}
