package integration

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// client is a way to send an update of the Job "pi" as the admin.
type updateClient struct {
	name   string
	update func(t *testing.T, update updateType, namespace string, body []byte, dryRun bool) updateResult
}

// result is what an update came to: a Job, or the Status of an error.
type updateResult struct {
	code     int
	job      *batchv1.Job
	status   metav1.Status
	warnings []string
}

// clients returns plain HTTP, and client-go with its own encoding and its own reading of
// errors and warnings. They update the Job, or a subresource of it.
func updateClients(t *testing.T, subresources ...string) []updateClient {
	t.Helper()
	typed, heard := shared.admin.clientset(t)
	return []updateClient{
		{"HTTP", func(t *testing.T, update updateType, namespace string, body []byte, dryRun bool) updateResult {
			t.Helper()
			path := strings.Join(append([]string{jobPath(namespace, "pi")}, subresources...), "/")
			return update.send(t, shared.admin, path, body, dryRun).result(t)
		}},
		{"client-go", func(t *testing.T, update updateType, namespace string, body []byte, dryRun bool) updateResult {
			t.Helper()
			job, err := update.sendTyped(t, typed.BatchV1().Jobs(namespace), body, dryRun, subresources...)
			return typedResult(t, job, err, heard)
		}},
	}
}

// result reads the answer to an update.
func (resp *response) result(t *testing.T) updateResult {
	t.Helper()
	r := updateResult{code: resp.code, warnings: resp.warnings(t)}
	if resp.code == http.StatusOK {
		r.job = resp.job(t)
	} else {
		r.status = *resp.status(t)
	}
	return r
}

func typedResult(t *testing.T, job *batchv1.Job, err error, heard *warnings) updateResult {
	t.Helper()
	r := updateResult{code: http.StatusOK, job: job, warnings: heard.take()}
	if err != nil {
		var status apierrors.APIStatus
		if !errors.As(err, &status) {
			t.Fatalf("client-go: %v", err)
		}
		r.job, r.status = nil, status.Status()
		r.code = int(r.status.Code)
	}
	return r
}

// ignoreBookkeeping leaves out what the server writes at each change.
var ignoreBookkeeping = cmp.Options{
	cmpopts.IgnoreFields(metav1.ObjectMeta{}, "ManagedFields", "ResourceVersion", "Generation", "SelfLink"),
	cmpopts.IgnoreFields(metav1.TypeMeta{}, "Kind", "APIVersion"),
}

// expectRefused fails the test unless the update was refused for exactly these paths.
func (r updateResult) expectDenied(t *testing.T, paths []string) {
	t.Helper()
	r.expectDeniedWith(t, deniedMessage, paths)
}

// expectRefusedWith is expectRefused with a message of its own.
func (r updateResult) expectDeniedWith(t *testing.T, message string, paths []string) {
	t.Helper()
	want := metav1.Status{
		Status:  metav1.StatusFailure,
		Reason:  metav1.StatusReasonInvalid,
		Code:    http.StatusUnprocessableEntity,
		Details: &metav1.StatusDetails{Group: "batch", Kind: "Job", Name: "pi"},
	}
	var lines []string
	for _, path := range paths {
		want.Details.Causes = append(want.Details.Causes, metav1.StatusCause{
			Type: metav1.CauseTypeForbidden, Message: "Forbidden: " + message, Field: path,
		})
		lines = append(lines, path+": Forbidden: "+message)
	}
	list := strings.Join(lines, ", ")
	if len(lines) > 1 {
		list = "[" + list + "]"
	}
	want.Message = `Job.batch "pi" is invalid: ` + list
	r.status.TypeMeta = metav1.TypeMeta{} // HTTP has it, client-go drops it
	if diff := cmp.Diff(want, r.status); diff != "" {
		t.Errorf("the refusal is not the wanted one (-want +got):\n%s", diff)
	}
	if len(r.warnings) > 0 {
		t.Errorf("a refused update is warned of: %q", r.warnings)
	}
}

// expectChanged fails the test where the update was refused, warned of, or changed the Job
// to another one.
func (r updateResult) expectUpdated(t *testing.T, what string, want *batchv1.Job) {
	t.Helper()
	if r.code != http.StatusOK {
		t.Fatalf("%s: the answer is %d: %s", what, r.code, r.status.Message)
	}
	if diff := cmp.Diff(want, r.job, ignoreBookkeeping); diff != "" {
		t.Errorf("%s: the answered Job is not the wanted one (-want +got):\n%s", what, diff)
	}
	if len(r.warnings) > 0 {
		t.Errorf("%s: unexpected warnings: %q", what, r.warnings)
	}
}
