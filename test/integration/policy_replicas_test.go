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

// TestPolicyActiveOnEveryReplica changes a policy at one server, and asks the other.
func TestPolicyActiveOnEveryReplica(t *testing.T) {
	t.Parallel()
	first := newServer(t, setup{})
	second, err := startServer(filepath.Join(t.TempDir(), "second"), setup{etcd: first.etcdEndpoint})
	if err != nil {
		t.Fatal(err)
	}
	defer second.stop()
	first.admin.create(t, "ns", newJob(t))
	policies := first.admin.policies(t)
	allowed := func(u *user) func(context.Context) error {
		return func(ctx context.Context) error {
			body := []byte(fmt.Sprintf(`[{"op":"replace","path":"/spec/backoffLimit","value":%d}]`, time.Now().UnixNano()%1000))
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
	refused := func(u *user) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := allowed(u)(ctx); err == nil || !strings.HasPrefix(err.Error(), "422") {
				return fmt.Errorf("not refused but %v", err)
			}
			return nil
		}
	}
	for _, u := range []*user{first.admin, second.admin} {
		if err := refused(u)(t.Context()); err != nil {
			t.Fatalf("before there is a policy: %v", err)
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
		}, refused},
		{"changed back", func() error {
			_, err := policies.Patch(t.Context(), "for-ns", types.MergePatchType, []byte(`{"spec":{"fields":["spec.backoffLimit"]}}`), metav1.PatchOptions{})
			return err
		}, allowed},
		{"deleted", func() error { return policies.Delete(t.Context(), "for-ns", metav1.DeleteOptions{}) }, refused},
	} {
		if err := step.change(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		began := time.Now()
		for _, u := range []*user{second.admin, first.admin} {
			eventually(t, "see a policy "+step.name, step.then(u))
		}
		t.Logf("%s: in force on both after %s", step.name, time.Since(began).Round(time.Millisecond))
	}
	if _, err := policies.Get(t.Context(), "for-ns", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the policy is still there: %v", err)
	}
}
