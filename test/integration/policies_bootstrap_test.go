package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/apiserver"
)

func TestEveryServerHasTheBootstrapPolicies(t *testing.T) {
	t.Parallel()
	all := &metav1.LabelSelector{}
	want := map[string]v1alpha1.JobUpdatePolicySpec{
		"default": {
			NamespaceSelector: all, JobSelector: all, Action: v1alpha1.Allow,
			Fields: []string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"},
		},
		"garbage-collector": {
			NamespaceSelector: all, JobSelector: all, Action: v1alpha1.Allow,
			Fields: []string{"metadata.finalizers", "metadata.ownerReferences"},
			Subjects: []rbacv1.Subject{
				{Kind: "ServiceAccount", Namespace: "kube-system", Name: "generic-garbage-collector"},
				{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: "system:kube-controller-manager"},
			},
		},
	}
	list, err := shared.admin.policies(t).List(t.Context(), metav1.ListOptions{LabelSelector: "policy.batchgate.io/bootstrapping"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]v1alpha1.JobUpdatePolicySpec{}
	for i := range list.Items {
		got[list.Items[i].Name] = list.Items[i].Spec
		awaitReady(t, shared.admin, &list.Items[i])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the bootstrap policies (-want +got):\n%s", diff)
	}
}

// TestBootstrapPoliciesAreSetBackAtTheStart changes them in every way, and starts the server
// again on the same directory.
func TestBootstrapPoliciesAreSetBackAtTheStart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*testing.T, *server)
		want   []string // the fields of the policy default after the restart
	}{
		"an edited one": {
			func(t *testing.T, s *server) {
				patchDefault(t, s, `{"spec":{"fields":["spec.suspend"],"action":"Warn"}}`)
			},
			[]string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"},
		},
		"an edited one that is annotated": {
			func(t *testing.T, s *server) {
				patchDefault(t, s, `{"metadata":{"annotations":{"policy.batchgate.io/autoupdate":"false"}},"spec":{"fields":["spec.suspend"]}}`)
			},
			[]string{"spec.suspend"},
		},
		"a deleted one": {
			func(t *testing.T, s *server) {
				if err := s.admin.policies(t).Delete(t.Context(), "default", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := t.TempDir()
			first, err := startServer(directory, setup{})
			if err != nil {
				t.Fatal(err)
			}
			tc.change(t, first)
			if err := first.stop(); err != nil {
				t.Fatal(err)
			}
			second, err := startServer(directory, setup{})
			if err != nil {
				t.Fatal(err)
			}
			defer second.stop()
			p, err := second.admin.policies(t).Get(t.Context(), "default", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, p.Spec.Fields); diff != "" {
				t.Errorf("the fields (-want +got):\n%s", diff)
			}
			if p.Spec.Action != v1alpha1.Allow {
				t.Errorf("the action is %s", p.Spec.Action)
			}
			// What the policy says is in force as soon as the server is ready.
			second.admin.create(t, "ns", newJob(t))
			code := map[bool]int{true: http.StatusOK, false: http.StatusUnprocessableEntity}
			allowed := tc.want[0] == "metadata.labels"
			second.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, code[allowed])
			second.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"spec":{"suspend":true}}`).expect(t, code[!allowed])
		})
	}
}

func patchDefault(t *testing.T, s *server, patch string) {
	t.Helper()
	if _, err := s.admin.policies(t).Patch(t.Context(), "default", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestPolicyIsInForceOnEveryReplica changes a policy at one server, and asks the other.
func TestPolicyIsInForceOnEveryReplica(t *testing.T) {
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
			a, err := u.send(ctx, request{method: http.MethodPatch, path: jobPath("ns", "pi"), query: map[string][]string{"dryRun": {"All"}}, contentType: jsonPatch, body: body})
			if err != nil {
				return err
			}
			if a.code != http.StatusOK {
				return fmt.Errorf("%d %s", a.code, a.body)
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

// A webhook of the cluster that refuses all writes of policies must not stop every Job: what is
// stored of the bootstrap policies holds, until they can be set back.
func TestBootstrapPoliciesThatCannotBeWrittenHoldAsTheyAre(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	first, err := startServer(directory, setup{})
	if err != nil {
		t.Fatal(err)
	}
	patchDefault(t, first, `{"spec":{"fields":["metadata.labels"]}}`)
	first.admin.create(t, "ns", newJob(t))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second, err := startServer(directory, setup{config: refusePolicies})
	if err != nil {
		t.Fatal(err)
	}
	second.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, http.StatusOK)
	second.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"spec":{"parallelism":3}}`).expect(t, http.StatusUnprocessableEntity)
	if _, err := second.etcd.Delete(t.Context(), policyKey("default")); err != nil {
		t.Fatal(err)
	}
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	// Without one of them the gate stays closed: nobody has said what is allowed.
	third, err := startServer(directory, setup{config: refusePolicies, notReady: true})
	if err != nil {
		t.Fatal(err)
	}
	defer third.stop()
	third.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"c"}}}`).expect(t, http.StatusServiceUnavailable)
}

// refusePolicies makes a server refuse to write policies.
func refusePolicies(config *apiserver.Config) {
	config.Generic.AdmissionControl = refusing{}
}

type refusing struct{}

func (refusing) Handles(admission.Operation) bool { return true }

func (refusing) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetResource().Group == policy.GroupName {
		return admission.NewForbidden(a, errors.New("as the test wants it"))
	}
	return nil
}
