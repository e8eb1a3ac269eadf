// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// documentedReasons are the error codes that docs/reference/responses.md lists for an authorized
// update of an existing Job.
var documentedReasons = map[int]metav1.StatusReason{
	http.StatusBadRequest:            metav1.StatusReasonBadRequest,
	http.StatusMethodNotAllowed:      metav1.StatusReasonMethodNotAllowed,
	http.StatusNotAcceptable:         metav1.StatusReasonNotAcceptable,
	http.StatusConflict:              metav1.StatusReasonConflict,
	http.StatusRequestEntityTooLarge: metav1.StatusReasonRequestEntityTooLarge,
	http.StatusUnsupportedMediaType:  metav1.StatusReasonUnsupportedMediaType,
	http.StatusUnprocessableEntity:   metav1.StatusReasonInvalid,
}

// upstream500Messages are parts of messages that upstream returns with code 500 for errors of the
// client. docs/reference/responses.md lists them.
var upstream500Messages = []string{
	// Apply of a field that is not in the schema or has another type.
	"failed to create typed patch object", "failed to convert new object",
	// Strategic merge patches with invalid lists or directives.
	"does not contain declared merge key", "list element types are not identical", "unable to find api field", "unknown patch type: ",
	"expected a []interface {}, but received a ", "expected a map[string]interface {}, but received a ", "is not a map", "invalid value for special key: ",
	"The order in patch list:", "cannot merge lists without merge key for ", "merging lists cannot yet be specified", "no elements in any of the given slices",
	"invalid element type in merging list", "cannot find merge key ", "expected slice or array type", "fail to find unknown prefix", "unexpected slice of slice", "lists of lists are not supported",
	// A resource version that is not a number.
	"strconv.ParseUint: parsing ",
	// A Job that is too large for the etcd client.
	"trying to send message larger than max",
}

// checkDocumented fails the test unless the response is a Job, or a Status with a documented code
// and reason that match the HTTP status.
func (resp *response) checkDocumented(t *testing.T) {
	t.Helper()
	if _, errs := utilnet.ParseWarningHeaders(resp.header["Warning"]); len(errs) > 0 {
		t.Errorf("parsing Warning headers %q: %v", resp.header["Warning"], errs)
	}
	if got := resp.header.Get("Content-Type"); got != "application/json" {
		t.Fatalf("got Content-Type %q, status %d: %s", got, resp.code, resp.body)
	}
	if resp.code == http.StatusOK {
		job := &batchv1.Job{}
		if err := json.Unmarshal(resp.body, job); err != nil || job.Kind != "Job" || job.APIVersion != "batch/v1" || job.SelfLink == "" {
			t.Errorf("response is not a Job: %v: %s", err, resp.body)
		}
		return
	}
	status := &metav1.Status{}
	if err := json.Unmarshal(resp.body, status); err != nil || status.Kind != "Status" || status.APIVersion != "v1" ||
		status.Status != metav1.StatusFailure || int(status.Code) != resp.code || status.Message == "" {
		t.Errorf("response is not a Status with code %d: %v: %s", resp.code, err, resp.body)
	}
	reason, ok := documentedReasons[resp.code]
	if resp.code == http.StatusInternalServerError {
		for _, known := range upstream500Messages {
			ok = ok || strings.Contains(status.Message, known)
		}
		reason = status.Reason
	}
	if !ok || status.Reason != reason {
		t.Errorf("response %d %s is not documented: %s", resp.code, status.Reason, status.Message)
	}
}
