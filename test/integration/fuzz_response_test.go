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

// documentedReasons are the codes by which docs/field-semantics.md lets an update of a Job that is
// there, by a user who may, be answered.
var documentedReasons = map[int]metav1.StatusReason{
	http.StatusBadRequest:            metav1.StatusReasonBadRequest,
	http.StatusMethodNotAllowed:      metav1.StatusReasonMethodNotAllowed,
	http.StatusNotAcceptable:         metav1.StatusReasonNotAcceptable,
	http.StatusConflict:              metav1.StatusReasonConflict,
	http.StatusRequestEntityTooLarge: metav1.StatusReasonRequestEntityTooLarge,
	http.StatusUnsupportedMediaType:  metav1.StatusReasonUnsupportedMediaType,
	http.StatusUnprocessableEntity:   metav1.StatusReasonInvalid,
}

// upstream500Messages are parts of the messages by which upstream blames itself for what a client has
// sent. docs/fuzzing.md lists them.
var upstream500Messages = []string{
	// Apply, of what is not in the schema or of another type.
	"failed to create typed patch object", "failed to convert new object",
	// Strategic merge patches whose lists or directives make no sense.
	"does not contain declared merge key", "list element types are not identical", "unable to find api field", "unknown patch type: ",
	"expected a []interface {}, but received a ", "expected a map[string]interface {}, but received a ", "is not a map", "invalid value for special key: ",
	"The order in patch list:", "cannot merge lists without merge key for ", "merging lists cannot yet be specified", "no elements in any of the given slices",
	"invalid element type in merging list", "cannot find merge key ", "expected slice or array type", "fail to find unknown prefix", "unexpected slice of slice", "lists of lists are not supported",
	// A resource version that is no number.
	"strconv.ParseUint: parsing ",
	// A Job that is too large for the client of etcd.
	"trying to send message larger than max",
}

// checkDocumented fails the test unless the answer is a Job, or a Status that says the same as the code
// that it comes with, which must be a documented one.
func (resp *response) checkDocumented(t *testing.T) {
	t.Helper()
	if _, errs := utilnet.ParseWarningHeaders(resp.header["Warning"]); len(errs) > 0 {
		t.Errorf("the Warning headers %q cannot be read: %v", resp.header["Warning"], errs)
	}
	if got := resp.header.Get("Content-Type"); got != "application/json" {
		t.Fatalf("the answer is %q, %d: %s", got, resp.code, resp.body)
	}
	if resp.code == http.StatusOK {
		job := &batchv1.Job{}
		if err := json.Unmarshal(resp.body, job); err != nil || job.Kind != "Job" || job.APIVersion != "batch/v1" || job.SelfLink == "" {
			t.Errorf("the answer is no Job: %v: %s", err, resp.body)
		}
		return
	}
	status := &metav1.Status{}
	if err := json.Unmarshal(resp.body, status); err != nil || status.Kind != "Status" || status.APIVersion != "v1" ||
		status.Status != metav1.StatusFailure || int(status.Code) != resp.code || status.Message == "" {
		t.Errorf("the answer is no Status of its code %d: %v: %s", resp.code, err, resp.body)
	}
	reason, ok := documentedReasons[resp.code]
	if resp.code == http.StatusInternalServerError {
		for _, known := range upstream500Messages {
			ok = ok || strings.Contains(status.Message, known)
		}
		reason = status.Reason
	}
	if !ok || status.Reason != reason {
		t.Errorf("the answer is %d %s, which is not documented: %s", resp.code, status.Reason, status.Message)
	}
}
