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
type client struct {
	name   string
	update func(t *testing.T, k kind, namespace string, body []byte, dryRun bool) result
}

// result is what an update came to: a Job, or the Status of an error.
type result struct {
	code     int
	job      *batchv1.Job
	status   metav1.Status
	warnings []string
}

// clients returns plain HTTP, and client-go with its own encoding and its own reading of
// errors and warnings. They update the Job, or a subresource of it.
func clients(t *testing.T, subresources ...string) []client {
	t.Helper()
	typed, heard := shared.admin.clientset(t)
	return []client{
		{"HTTP", func(t *testing.T, k kind, namespace string, body []byte, dryRun bool) result {
			t.Helper()
			path := strings.Join(append([]string{jobPath(namespace, "pi")}, subresources...), "/")
			return k.send(t, shared.admin, path, body, dryRun).result(t)
		}},
		{"client-go", func(t *testing.T, k kind, namespace string, body []byte, dryRun bool) result {
			t.Helper()
			job, err := k.call(t, typed.BatchV1().Jobs(namespace), body, dryRun, subresources...)
			return typedResult(t, job, err, heard)
		}},
	}
}

// result reads the answer to an update.
func (a *answer) result(t *testing.T) result {
	t.Helper()
	r := result{code: a.code, warnings: a.warnings(t)}
	if a.code == http.StatusOK {
		r.job = a.job(t)
	} else {
		r.status = *a.status(t)
	}
	return r
}

func typedResult(t *testing.T, job *batchv1.Job, err error, heard *warnings) result {
	t.Helper()
	r := result{code: http.StatusOK, job: job, warnings: heard.take()}
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
