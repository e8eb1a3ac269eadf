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

// withoutFinalizer is a Job that nothing but the deletion itself keeps.
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
			t.Errorf("%s: the Job is still there", query)
		}
	}
}

// Old clients that name no policy rely on this: their Jobs' pods are kept.
func TestDeleteWithoutPolicyOrphansPods(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t, withoutFinalizers))
	before := shared.read(t, jobKey(namespace, "pi"))
	resp := shared.admin.delete(t, jobPath(namespace, "pi"), "").expect(t, http.StatusOK)
	shared.read(t, jobKey(namespace, "pi")).expectMarkedDeleted(t, before, "orphan")
	want := "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
	if diff := cmp.Diff([]string{want}, resp.warnings(t)); diff != "" {
		t.Errorf("the warnings are not the wanted ones (-want +got):\n%s", diff)
	}
}

// mustBeDeleted fails the test unless the Job was marked as deleted since before was read, is
// kept by the finalizer alone, and has all else as it was.
func (s stored) expectMarkedDeleted(t *testing.T, before stored, finalizer string) {
	t.Helper()
	is, want := s.job(t), before.job(t)
	if is.DeletionTimestamp == nil {
		t.Fatalf("the Job %s has no deletionTimestamp", is.Name)
	}
	want.DeletionTimestamp = is.DeletionTimestamp
	want.DeletionGracePeriodSeconds = ptr.To[int64](0)
	want.Generation++
	want.Finalizers = []string{finalizer}
	if !bytes.Equal(encodeLikeKubeAPIServer(t, want), s.value) {
		t.Errorf("the stored bytes are not those of the deleted Job (-want +got):\n%s", cmp.Diff(want, is))
	}
}

// A Job under deletion is still a Job: what may be updated may be updated, and nothing brings
// it back.
func TestJobUnderDeletionGated(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.apply(t, namespace, newJob(t))
	shared.admin.delete(t, jobPath(namespace, "pi"), "propagationPolicy=Background").expect(t, http.StatusOK)
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"labels":{"team":"green"}},"spec":{"parallelism":0}}`).expect(t, http.StatusOK)
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"deletionTimestamp":null,"deletionGracePeriodSeconds":null}}`).expect(t, http.StatusOK)
	before := shared.read(t, jobKey(namespace, "pi"))
	if job := before.job(t); job.DeletionTimestamp == nil || job.Labels["team"] != "green" || *job.Spec.Parallelism != 0 {
		t.Errorf("the Job is not the wanted one: %v", job)
	}
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"finalizers":null}}`).
		result(t).expectDenied(t, []string{`metadata.finalizers["example.com/hold"]`})
	shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
}
