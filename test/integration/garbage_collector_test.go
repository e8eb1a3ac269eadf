// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"testing"
)

// The test sends the same request as the garbage collector: a merge patch of the finalizers with
// the UID and the resource version as preconditions.
func TestOnlyGarbageCollectorFinishesDeletion(t *testing.T) {
	t.Parallel()
	for policy, finalizer := range map[string]string{"Foreground": "foregroundDeletion", "Orphan": "orphan"} {
		for _, subresource := range []string{"", "/status"} {
			t.Run(policy+" deletion finished through "+resourceName(subresource), func(t *testing.T) {
				t.Parallel()
				namespace := newNamespace()
				shared.admin.create(t, namespace, newJob(t, withoutFinalizers))
				before := shared.read(t, jobKey(namespace, "pi"))
				shared.admin.delete(t, jobPath(namespace, "pi"), "propagationPolicy="+policy).expect(t, http.StatusOK)
				shared.read(t, jobKey(namespace, "pi")).expectMarkedDeleted(t, before, finalizer)
				deleted := shared.admin.get(t, jobPath(namespace, "pi")).job(t)
				body := fmt.Sprintf(`{"metadata":{"resourceVersion":%q,"uid":%q,"finalizers":[]}}`, deleted.ResourceVersion, deleted.UID)
				deleting := shared.read(t, jobKey(namespace, "pi"))
				r := shared.admin.patch(t, jobPath(namespace, "pi")+subresource, mergePatch, body).result(t)
				message := deniedMessage
				if subresource != "" {
					message = deniedStatusMessage
				}
				r.expectDeniedWith(t, message, []string{fmt.Sprintf("metadata.finalizers[%q]", finalizer)})
				shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, deleting)

				shared.gc.patch(t, jobPath(namespace, "pi")+subresource, mergePatch, body).expect(t, http.StatusOK)
				if left := shared.read(t, jobKey(namespace, "pi")); left.value != nil {
					t.Errorf("Job was not deleted: %v", left.object(t))
				}
				shared.admin.do(t, request{method: http.MethodGet, path: jobPath(namespace, "pi")}).expect(t, http.StatusNotFound)
			})
		}
	}
}

func TestGarbageCollectorUpdatableFields(t *testing.T) {
	t.Parallel()
	manager, err := shared.newUser("system:kube-controller-manager", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	for identity, u := range map[string]*user{
		"system:serviceaccount:kube-system:generic-garbage-collector": shared.gc,
		"system:kube-controller-manager":                              manager,
	} {
		message := fmt.Sprintf("may not be updated; updatable fields are metadata.finalizers, metadata.labels, metadata.ownerReferences, "+
			"spec.completions, spec.parallelism, spec.selector; no JobUpdatePolicy grants this change to %q (kubectl get jup)", identity)
		for name, row := range map[string]struct {
			patch string
			paths []string // nil if the change is allowed
		}{
			"finalizer added": {
				`[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/more"}]`, nil,
			},
			"finalizers removed": {
				`[{"op":"remove","path":"/metadata/finalizers"}]`, nil,
			},
			"blockOwnerDeletion of owner reference changed": {
				`[{"op":"add","path":"/metadata/ownerReferences/0/blockOwnerDeletion","value":false}]`, nil,
			},
			"owner references removed": {
				`[{"op":"remove","path":"/metadata/ownerReferences"}]`, nil,
			},
			"annotation changed with finalizers denied": {
				`[{"op":"remove","path":"/metadata/finalizers"},{"op":"replace","path":"/metadata/annotations/example.com~1note","value":"x"}]`,
				[]string{`metadata.annotations["example.com/note"]`},
			},
			"suspend changed with owner references denied": {
				`[{"op":"remove","path":"/metadata/ownerReferences"},{"op":"replace","path":"/spec/suspend","value":true}]`,
				[]string{`spec.suspend`},
			},
		} {
			t.Run(name+" by "+identity, func(t *testing.T) {
				t.Parallel()
				namespace := newNamespace()
				shared.admin.apply(t, namespace, newJob(t))
				before := shared.read(t, jobKey(namespace, "pi"))
				r := u.patch(t, jobPath(namespace, "pi"), jsonPatch, row.patch).result(t)
				after := shared.read(t, jobKey(namespace, "pi"))
				if row.paths != nil {
					r.expectDeniedWith(t, message, row.paths)
					after.expectUnchanged(t, before)
				} else if r.code != http.StatusOK || after.revision == before.revision {
					t.Errorf("got status %d %s at revision %d, the earlier revision was %d", r.code, r.status.Message, after.revision, before.revision)
				}
			})
		}
	}
}
