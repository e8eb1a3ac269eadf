// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// updateClient sends updates of the Job "pi" as the admin.
type updateClient struct {
	name   string
	update func(t *testing.T, update updateType, namespace string, body []byte, dryRun bool) updateResult
}

// updateResult is the result of an update: a Job, or the Status of an error.
type updateResult struct {
	code     int
	job      *batchv1.Job
	status   metav1.Status
	warnings []string
}

// updateClients returns a plain HTTP client and a client-go client. They update the Job, or the
// given subresource. client-go has its own encoding and its own decoding of errors and warnings.
func updateClients(t *testing.T, subresources ...string) []updateClient {
	t.Helper()
	typed, received := shared.admin.clientset(t)
	return []updateClient{
		{"HTTP", func(t *testing.T, update updateType, namespace string, body []byte, dryRun bool) updateResult {
			t.Helper()
			path := strings.Join(append([]string{jobPath(namespace, "pi")}, subresources...), "/")
			return update.send(t, shared.admin, path, body, dryRun).result(t)
		}},
		{"client-go", func(t *testing.T, update updateType, namespace string, body []byte, dryRun bool) updateResult {
			t.Helper()
			job, err := update.sendTyped(t, typed.BatchV1().Jobs(namespace), body, dryRun, subresources...)
			return typedResult(t, job, err, received)
		}},
	}
}

// result decodes the response to an update.
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

func typedResult(t *testing.T, job *batchv1.Job, err error, received *warnings) updateResult {
	t.Helper()
	r := updateResult{code: http.StatusOK, job: job, warnings: received.take()}
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

// ignoreBookkeeping ignores the metadata that the server sets on every change.
var ignoreBookkeeping = cmp.Options{
	cmpopts.IgnoreFields(metav1.ObjectMeta{}, "ManagedFields", "ResourceVersion", "Generation", "SelfLink"),
	cmpopts.IgnoreFields(metav1.TypeMeta{}, "Kind", "APIVersion"),
}

// expectDenied fails the test unless the gate denied the update for exactly these paths.
func (r updateResult) expectDenied(t *testing.T, paths []string) {
	t.Helper()
	r.expectDeniedWith(t, deniedMessage, paths)
}

// expectDeniedWith is expectDenied with another message per path.
func (r updateResult) expectDeniedWith(t *testing.T, message string, paths []string) {
	t.Helper()
	want := metav1.Status{
		Status:  metav1.StatusFailure,
		Reason:  metav1.StatusReasonInvalid,
		Code:    http.StatusUnprocessableEntity,
		Details: &metav1.StatusDetails{Group: "batch", Kind: "Job", Name: "pi"},
	}
	var lines []string
	for i, path := range paths {
		detail := "Forbidden: may not be updated"
		if i == len(paths)-1 {
			detail = "Forbidden: " + message
		}
		want.Details.Causes = append(want.Details.Causes, metav1.StatusCause{Type: metav1.CauseTypeForbidden, Message: detail, Field: path})
		lines = append(lines, path+": "+detail)
	}
	list := strings.Join(lines, ", ")
	if len(lines) > 1 {
		list = "[" + list + "]"
	}
	want.Message = `Job.batch "pi" is invalid: ` + list
	r.status.TypeMeta = metav1.TypeMeta{} // present with HTTP; client-go drops it
	if diff := cmp.Diff(want, r.status); diff != "" {
		t.Errorf("status of the denied update (-want +got):\n%s", diff)
	}
	if len(r.warnings) > 0 {
		t.Errorf("unexpected warnings for a denied update: %q", r.warnings)
	}
}

// expectUpdated fails the test unless the update succeeded without warnings and returned the
// wanted Job.
func (r updateResult) expectUpdated(t *testing.T, what string, want *batchv1.Job) {
	t.Helper()
	if r.code != http.StatusOK {
		t.Fatalf("%s: got status %d: %s", what, r.code, r.status.Message)
	}
	if diff := cmp.Diff(want, r.job, ignoreBookkeeping); diff != "" {
		t.Errorf("%s: returned Job (-want +got):\n%s", what, diff)
	}
	if len(r.warnings) > 0 {
		t.Errorf("%s: unexpected warnings: %q", what, r.warnings)
	}
}
