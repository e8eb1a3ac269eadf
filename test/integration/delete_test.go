// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"
)

func withoutFinalizers(job *batchv1.Job) { job.Finalizers = nil }

func (u *user) delete(t *testing.T, path, query string) *response {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return u.do(t, request{method: http.MethodDelete, path: path, query: values})
}

func TestDeleteInBackgroundRemovesJob(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"propagationPolicy=Background", "gracePeriodSeconds=0&propagationPolicy=Background"} {
		namespace := newNamespace()
		shared.admin.create(t, namespace, newJob(t, withoutFinalizers))
		before := shared.read(t, jobKey(namespace, "pi"))
		shared.admin.delete(t, jobPath(namespace, "pi"), query+"&dryRun=All").expect(t, http.StatusOK)
		shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
		shared.admin.delete(t, jobPath(namespace, "pi"), query).expect(t, http.StatusOK)
		if shared.read(t, jobKey(namespace, "pi")).value != nil {
			t.Errorf("%s: Job was not deleted", query)
		}
	}
}

// Old clients that set no propagation policy rely on this: the Pods of their Jobs are kept.
func TestDeleteWithoutPolicyOrphansPods(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t, withoutFinalizers))
	before := shared.read(t, jobKey(namespace, "pi"))
	resp := shared.admin.delete(t, jobPath(namespace, "pi"), "").expect(t, http.StatusOK)
	shared.read(t, jobKey(namespace, "pi")).expectMarkedDeleted(t, before, "orphan")
	want := "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
	if diff := cmp.Diff([]string{want}, resp.warnings(t)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// expectMarkedDeleted fails the test unless the Job was marked as deleted after before was read,
// has only the given finalizer, and is otherwise unchanged.
func (s stored) expectMarkedDeleted(t *testing.T, before stored, finalizer string) {
	t.Helper()
	got, want := s.job(t), before.job(t)
	if got.DeletionTimestamp == nil {
		t.Fatalf("Job %s has no deletionTimestamp", got.Name)
	}
	want.DeletionTimestamp = got.DeletionTimestamp
	want.DeletionGracePeriodSeconds = ptr.To[int64](0)
	want.Generation++
	want.Finalizers = []string{finalizer}
	if !bytes.Equal(encodeLikeKubeAPIServer(t, want), s.value) {
		t.Errorf("stored Job marked as deleted (-want +got):\n%s", cmp.Diff(want, got))
	}
}

// A Job under deletion has the same updatable fields as any other, and no update cancels the
// deletion.
func TestJobUnderDeletionGated(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.apply(t, namespace, newJob(t))
	shared.admin.delete(t, jobPath(namespace, "pi"), "propagationPolicy=Background").expect(t, http.StatusOK)
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"labels":{"team":"green"}},"spec":{"parallelism":0}}`).expect(t, http.StatusOK)
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"deletionTimestamp":null,"deletionGracePeriodSeconds":null}}`).expect(t, http.StatusOK)
	before := shared.read(t, jobKey(namespace, "pi"))
	if job := before.job(t); job.DeletionTimestamp == nil || job.Labels["team"] != "green" || *job.Spec.Parallelism != 0 {
		t.Errorf("wrong Job under deletion: %v", job)
	}
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"finalizers":null}}`).
		result(t).expectDenied(t, []string{`metadata.finalizers["example.com/hold"]`})
	shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
}
