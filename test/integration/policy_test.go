// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

func TestPolicyGrantsEveryUpdateType(t *testing.T) {
	t.Parallel()
	granted, other := newNamespace(), newNamespace()
	createPolicy(t, policyFor(granted, "spec.suspend", `metadata.annotations["example.com/*"]`))
	for _, update := range updateTypes {
		t.Run(update.name, func(t *testing.T) {
			t.Parallel()
			name := named("job-" + fmt.Sprint(len(update.name)))
			for _, namespace := range []string{granted, other} {
				shared.admin.apply(t, namespace, newJob(t, name))
			}
			path := jobPath(granted, newJob(t, name).Name)
			key := jobKey(granted, newJob(t, name).Name)
			before := shared.read(t, key)
			change := `[{"op":"replace","path":"/spec/suspend","value":true},{"op":"replace","path":"/metadata/annotations/example.com~1note","value":"x"}]`
			if update.contentType == applyPatch { // an apply contains only the fields that it sets
				change = suspendPatch
			}
			body := update.bodyFor(t, change, shared.admin.get(t, path).body)
			send := func(path string, dryRun bool) *response {
				return shared.admin.do(t, request{method: update.method, path: path, contentType: update.contentType, query: update.query(dryRun), body: body})
			}
			if got := send(path, true).expect(t, http.StatusOK).job(t); got.Spec.Suspend == nil || !*got.Spec.Suspend {
				t.Error("dry run does not return the change")
			}
			shared.read(t, key).expectUnchanged(t, before)
			send(path, false).expect(t, http.StatusOK)
			if got := shared.read(t, key).job(t); !*got.Spec.Suspend || update.contentType != applyPatch && got.Annotations["example.com/note"] != "x" {
				t.Errorf("stored Job has suspend=%t and annotations %v", *got.Spec.Suspend, got.Annotations)
			}
			if update.method == http.MethodPut { // the body has the UID of the first Job
				return
			}
			otherPath := jobPath(other, newJob(t, name).Name)
			body = update.bodyFor(t, change, shared.admin.get(t, otherPath).body)
			send(otherPath, false).expect(t, http.StatusUnprocessableEntity)
		})
	}
}

func TestPolicyGrantsStatusSubresource(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	createPolicy(t, policyFor(namespace, `metadata.annotations["example.com/note"]`))
	shared.admin.create(t, namespace, newJob(t))
	path := jobPath(namespace, "pi") + "/status"
	shared.admin.patch(t, path, mergePatch, `{"metadata":{"annotations":{"example.com/note":"second"}}}`).expect(t, http.StatusOK)
	if got := shared.read(t, jobKey(namespace, "pi")).job(t); got.Annotations["example.com/note"] != "second" {
		t.Errorf("stored annotations are %v", got.Annotations)
	}
	status := shared.admin.patch(t, path, mergePatch, `{"metadata":{"annotations":{"example.com/other":"x"}}}`).expect(t, http.StatusUnprocessableEntity).status(t)
	want := `may not be updated; updatable fields are metadata.annotations["example.com/note"], metadata.labels, status; no JobUpdatePolicy grants this change to "admin" (kubectl get jup)`
	if got := status.Details.Causes[0].Message; got != "Forbidden: "+want {
		t.Errorf("cause is %q, want %q", got, want)
	}
}

func TestPolicyWarnAllowsWithWarning(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	p := policyFor(namespace, "*")
	p.Spec.Action = v1alpha1.Warn
	createPolicy(t, p)
	shared.admin.create(t, namespace, newJob(t))
	resp := shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}},"spec":{"suspend":true}}`).expect(t, http.StatusOK)
	want := "spec.suspend: changed; only granted with the action Warn, by JobUpdatePolicy " + p.Name
	if got := resp.warnings(t); len(got) != 1 || got[0] != want {
		t.Errorf("got warnings %q, want %q", got, want)
	}
	if resp := shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"spec":{"parallelism":4}}`).expect(t, http.StatusOK); len(resp.warnings(t)) > 0 {
		t.Errorf("unexpected warnings for a change that the default policy allows: %q", resp.warnings(t))
	}
	if got := shared.read(t, jobKey(namespace, "pi")).job(t); !*got.Spec.Suspend || *got.Spec.Parallelism != 4 {
		t.Errorf("stored Job has suspend=%t and parallelism=%d", *got.Spec.Suspend, *got.Spec.Parallelism)
	}
}

func TestPolicyLimitedToSubjects(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	p := policyFor(namespace, "spec.suspend")
	p.Spec.Subjects = []rbacv1.Subject{{Kind: rbacv1.GroupKind, Name: "tuners"}}
	createPolicy(t, p)
	shared.admin.create(t, namespace, newJob(t))
	tuner, err := shared.newUser("tina", "tuners", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	shared.admin.patch(t, jobPath(namespace, "pi"), jsonPatch, suspendPatch).expect(t, http.StatusUnprocessableEntity)
	tuner.patch(t, jobPath(namespace, "pi"), jsonPatch, suspendPatch).expect(t, http.StatusOK)
}

func TestPolicyStoredAsJSON(t *testing.T) {
	t.Parallel()
	createPolicy(t, policyFor(newNamespace(), "spec.suspend"))
	var stored struct{ metav1.TypeMeta }
	if err := json.Unmarshal(shared.read(t, policyKey("default")).value, &stored); err != nil {
		t.Fatalf("stored policy is not JSON: %v", err)
	}
	if want := (metav1.TypeMeta{Kind: "JobUpdatePolicy", APIVersion: "policy.batchgate.io/v1alpha1"}); stored.TypeMeta != want {
		t.Errorf("stored policy is a %v, want %v", stored.TypeMeta, want)
	}
}
