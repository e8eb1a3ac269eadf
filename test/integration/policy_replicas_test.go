// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The test changes a policy on one server and updates a Job on both.
func TestPolicyActiveOnEveryReplica(t *testing.T) {
	t.Parallel()
	first := newServer(t, setup{})
	second, err := startServer(filepath.Join(t.TempDir(), "second"), setup{etcd: first.etcdEndpoint})
	if err != nil {
		t.Fatal(err)
	}
	second.stopAfterTest(t)
	first.admin.create(t, "ns", newJob(t))
	policies := first.admin.policies(t)
	allowed := func(u *user) func(context.Context) error {
		return func(ctx context.Context) error {
			body := []byte(fmt.Sprintf(`[{"op":"replace","path":"/spec/backoffLimit","value":%d}]`, time.Now().UnixNano()%1000+1000))
			resp, err := u.send(ctx, request{method: http.MethodPatch, path: jobPath("ns", "pi"), query: map[string][]string{"dryRun": {"All"}}, contentType: jsonPatch, body: body})
			if err != nil {
				return err
			}
			if resp.code != http.StatusOK {
				return fmt.Errorf("%d %s", resp.code, resp.body)
			}
			return nil
		}
	}
	denied := func(u *user) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := allowed(u)(ctx); err == nil || !strings.HasPrefix(err.Error(), "422") {
				return fmt.Errorf("want status 422, got %v", err)
			}
			return nil
		}
	}
	for _, u := range []*user{first.admin, second.admin} {
		if err := denied(u)(t.Context()); err != nil {
			t.Fatalf("without a policy: %v", err)
		}
	}
	for _, step := range []struct {
		name   string
		change func() error
		then   func(*user) func(context.Context) error
	}{
		{"created", func() error {
			_, err := policies.Create(t.Context(), policyFor("ns", "spec.backoffLimit"), metav1.CreateOptions{})
			return err
		}, allowed},
		{"changed", func() error {
			_, err := policies.Patch(t.Context(), "for-ns", types.MergePatchType, []byte(`{"spec":{"fields":["spec.suspend"]}}`), metav1.PatchOptions{})
			return err
		}, denied},
		{"changed back", func() error {
			_, err := policies.Patch(t.Context(), "for-ns", types.MergePatchType, []byte(`{"spec":{"fields":["spec.backoffLimit"]}}`), metav1.PatchOptions{})
			return err
		}, allowed},
		{"deleted", func() error { return policies.Delete(t.Context(), "for-ns", metav1.DeleteOptions{}) }, denied},
	} {
		if err := step.change(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		start := time.Now()
		for _, u := range []*user{second.admin, first.admin} {
			eventually(t, "use the policy after it was "+step.name, step.then(u))
		}
		t.Logf("%s: active on both servers after %s", step.name, time.Since(start).Round(time.Millisecond))
	}
	if _, err := policies.Get(t.Context(), "for-ns", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("policy was not deleted: %v", err)
	}
}
