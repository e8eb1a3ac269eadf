package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
)

const policiesPath = "/apis/policy.batchgate.io/v1alpha1/jobupdatepolicies"

func policyKey(name string) string {
	return "/registry/policy.batchgate.io/jobupdatepolicies/" + name
}

// policies returns the generated client for the user.
func (u *user) policies(t testing.TB) policyclient.JobUpdatePolicyInterface {
	t.Helper()
	client, err := policyclient.NewForConfigAndClient(&rest.Config{Host: u.server.url, QPS: -1}, u.http)
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	return client.JobUpdatePolicies()
}

// policyFor returns a policy that allows fields to everybody in one namespace.
func policyFor(namespace string, fields ...string) *v1alpha1.JobUpdatePolicy {
	return &v1alpha1.JobUpdatePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "for-" + namespace},
		Spec: v1alpha1.JobUpdatePolicySpec{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
			Fields:            fields,
		},
	}
}

// grant creates a policy on the shared server and waits until it is in force.
func grant(t *testing.T, p *v1alpha1.JobUpdatePolicy) *v1alpha1.JobUpdatePolicy {
	t.Helper()
	created, err := shared.admin.policies(t).Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating the policy %s: %v", p.Name, err)
	}
	t.Cleanup(func() { _ = shared.admin.policies(t).Delete(context.Background(), p.Name, metav1.DeleteOptions{}) })
	return awaitReady(t, shared.admin, created)
}

// awaitReady waits until the server has seen to this generation of a policy.
func awaitReady(t testing.TB, u *user, p *v1alpha1.JobUpdatePolicy) *v1alpha1.JobUpdatePolicy {
	t.Helper()
	var seen *v1alpha1.JobUpdatePolicy
	eventually(t, "see to the policy "+p.Name, func(ctx context.Context) error {
		var err error
		if seen, err = u.policies(t).Get(ctx, p.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		if seen.Status.ObservedGeneration < p.Generation {
			return fmt.Errorf("observed is generation %d, not %d", seen.Status.ObservedGeneration, p.Generation)
		}
		return nil
	})
	if !meta.IsStatusConditionTrue(seen.Status.Conditions, v1alpha1.ConditionReady) {
		t.Fatalf("the policy %s is not ready: %+v", p.Name, seen.Status)
	}
	return seen
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, condition func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		last = condition(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("waiting to %s: %v; at last: %v", what, err, last)
	}
}

// suspension is a change that only a policy grants.
const suspension = `[{"op":"replace","path":"/spec/suspend","value":true}]`

func TestAPolicyGrantsAChangeOfEveryKind(t *testing.T) {
	t.Parallel()
	granted, other := newNamespace(), newNamespace()
	grant(t, policyFor(granted, "spec.suspend", `metadata.annotations["example.com/*"]`))
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			name := named("job-" + fmt.Sprint(len(k.name)))
			for _, namespace := range []string{granted, other} {
				shared.admin.apply(t, namespace, newJob(t, name))
			}
			path := jobPath(granted, newJob(t, name).Name)
			key := jobKey(granted, newJob(t, name).Name)
			before := shared.read(t, key)
			change := `[{"op":"replace","path":"/spec/suspend","value":true},{"op":"replace","path":"/metadata/annotations/example.com~1note","value":"x"}]`
			if k.contentType == applyPatch { // which states what it wants alone
				change = suspension
			}
			body := k.change(t, change, shared.admin.get(t, path).body)
			send := func(path string, dryRun bool) *answer {
				return shared.admin.do(t, request{method: k.method, path: path, contentType: k.contentType, query: k.query(dryRun), body: body})
			}
			if got := send(path, true).expect(t, http.StatusOK).job(t); got.Spec.Suspend == nil || !*got.Spec.Suspend {
				t.Error("the dry run does not show the change")
			}
			shared.read(t, key).mustEqual(t, before)
			send(path, false).expect(t, http.StatusOK)
			if got := shared.read(t, key).job(t); !*got.Spec.Suspend || k.contentType != applyPatch && got.Annotations["example.com/note"] != "x" {
				t.Errorf("stored is suspend=%t and the annotations %v", *got.Spec.Suspend, got.Annotations)
			}
			if k.method == http.MethodPut { // which has the other Job's UID
				return
			}
			otherPath := jobPath(other, newJob(t, name).Name)
			body = k.change(t, change, shared.admin.get(t, otherPath).body)
			send(otherPath, false).expect(t, http.StatusUnprocessableEntity)
		})
	}
}

func TestAGrantHoldsForTheStatusSubresourceToo(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	grant(t, policyFor(namespace, `metadata.annotations["example.com/note"]`))
	shared.admin.create(t, namespace, newJob(t))
	path := jobPath(namespace, "pi") + "/status"
	shared.admin.patch(t, path, mergePatch, `{"metadata":{"annotations":{"example.com/note":"second"}}}`).expect(t, http.StatusOK)
	if got := shared.read(t, jobKey(namespace, "pi")).job(t); got.Annotations["example.com/note"] != "second" {
		t.Errorf("the annotations are %v", got.Annotations)
	}
	status := shared.admin.patch(t, path, mergePatch, `{"metadata":{"annotations":{"example.com/other":"x"}}}`).expect(t, http.StatusUnprocessableEntity).status(t)
	want := `may not be updated; updatable fields are metadata.annotations["example.com/note"], metadata.labels, status; no JobUpdatePolicy grants it to "admin" (kubectl get jup)`
	if got := status.Details.Causes[0].Message; got != "Forbidden: "+want {
		t.Errorf("the cause is %q, want %q", got, want)
	}
}

func TestAPolicyThatWarnsLetsAChangeThroughWithAWarning(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	p := policyFor(namespace, "*")
	p.Spec.Action = v1alpha1.Warn
	grant(t, p)
	shared.admin.create(t, namespace, newJob(t))
	a := shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}},"spec":{"suspend":true}}`).expect(t, http.StatusOK)
	want := "spec.suspend: changed with a warning, by JobUpdatePolicy " + p.Name + ": no policy allows it otherwise"
	if got := a.warnings(t); len(got) != 1 || got[0] != want {
		t.Errorf("the warnings are %q, want %q", got, want)
	}
	if a := shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"spec":{"parallelism":4}}`).expect(t, http.StatusOK); len(a.warnings(t)) > 0 {
		t.Errorf("a change that the default policy allows is warned about: %q", a.warnings(t))
	}
	if got := shared.read(t, jobKey(namespace, "pi")).job(t); !*got.Spec.Suspend || *got.Spec.Parallelism != 4 {
		t.Errorf("stored is suspend=%t parallelism=%d", *got.Spec.Suspend, *got.Spec.Parallelism)
	}
}

func TestAPolicyIsForItsSubjects(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	p := policyFor(namespace, "spec.suspend")
	p.Spec.Subjects = []rbacv1.Subject{{Kind: rbacv1.GroupKind, Name: "tuners"}}
	grant(t, p)
	shared.admin.create(t, namespace, newJob(t))
	tuner, err := shared.newUser("tina", "tuners", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	shared.admin.patch(t, jobPath(namespace, "pi"), jsonPatch, suspension).expect(t, http.StatusUnprocessableEntity)
	tuner.patch(t, jobPath(namespace, "pi"), jsonPatch, suspension).expect(t, http.StatusOK)
}

func TestAPolicyIsStoredAsACustomResourceWouldBe(t *testing.T) {
	t.Parallel()
	grant(t, policyFor(newNamespace(), "spec.suspend"))
	var stored struct{ metav1.TypeMeta }
	if err := json.Unmarshal(shared.read(t, policyKey("default")).value, &stored); err != nil {
		t.Fatalf("the bytes are no JSON: %v", err)
	}
	if want := (metav1.TypeMeta{Kind: "JobUpdatePolicy", APIVersion: "policy.batchgate.io/v1alpha1"}); stored.TypeMeta != want {
		t.Errorf("stored is a %v, want %v", stored.TypeMeta, want)
	}
}
