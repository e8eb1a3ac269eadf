// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
)

// A deletecollection request with invalid options, a dry run, or a failing precondition deletes
// no Job.
func TestDeleteCollectionBadOptionsDeleteNothing(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		query, body string
		code        int
	}{
		"dry run in query":                        {"?dryRun=All", ``, 200},
		"dry run in body":                         {"", `{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}`, 200},
		"invalid dry run":                         {"?dryRun=Some", ``, 422},
		"invalid propagation policy":              {"?propagationPolicy=Never", ``, 422},
		"propagation policy and orphanDependents": {"", `{"propagationPolicy":"Orphan","orphanDependents":true}`, 422},
		"unmatched UID precondition":              {"", `{"preconditions":{"uid":"another"}}`, 409},
		"unmatched resource version precondition": {"", `{"preconditions":{"resourceVersion":"1"}}`, 409},
		"selector without matches":                {"?labelSelector=team%3Dgreen", ``, 200},
		"invalid label selector":                  {"?labelSelector=%3D%3D", ``, 400},
		"unsupported field selector":              {"?fieldSelector=spec.parallelism%3D1", ``, 400},
		"invalid resource version":                {"?resourceVersion=x&resourceVersionMatch=Exact", ``, 400},
		"invalid continue token":                  {"?continue=x", ``, 400},
		"body not JSON":                           {"", `{`, 400},
		"body of kind Job":                        {"", `{"kind":"Job","apiVersion":"batch/v1"}`, 400},
		"body of kind PatchOptions":               {"", `{"kind":"PatchOptions","apiVersion":"meta.k8s.io/v1","force":true}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			shared.admin.create(t, namespace, newJob(t))
			before := shared.read(t, jobKey(namespace, "pi"))
			r := request{method: http.MethodDelete, path: jobsPath(namespace) + row.query}
			if row.body != "" {
				r.body = []byte(row.body)
			}
			shared.admin.do(t, r).expect(t, row.code)
			shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
		})
	}
}

func TestDeleteCollectionHonorsSelector(t *testing.T) {
	t.Parallel()
	for policy, finalizer := range map[string]string{"Background": "", "Foreground": "foregroundDeletion", "Orphan": "orphan"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			originals := map[string]stored{}
			for name, team := range map[string]string{"one": "blue", "two": "green", "three": "blue"} {
				shared.admin.create(t, namespace, newJob(t, withoutFinalizers, func(job *batchv1.Job) {
					job.Name = name
					job.Labels = map[string]string{"team": team}
				}))
				originals[name] = shared.read(t, jobKey(namespace, name))
			}
			query := "labelSelector=team%3Dblue&propagationPolicy=" + policy
			shared.admin.delete(t, jobsPath(namespace), query+"&dryRun=All").expect(t, http.StatusOK)
			for name, before := range originals {
				shared.read(t, jobKey(namespace, name)).expectUnchanged(t, before)
			}
			shared.admin.delete(t, jobsPath(namespace), query).expect(t, http.StatusOK)
			for name, before := range originals {
				after := shared.read(t, jobKey(namespace, name))
				switch {
				case name == "two":
					after.expectUnchanged(t, before)
				case finalizer != "":
					after.expectMarkedDeleted(t, before, finalizer)
				case after.value != nil:
					t.Errorf("Job %s was not deleted: %v", name, after.object(t))
				}
			}
		})
	}
}
