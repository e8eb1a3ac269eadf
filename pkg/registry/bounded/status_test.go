// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/core/install" // the scheme's Status
)

// maxResponse bounds the response to any rejected request.
const maxResponse = 1 << 20

// hostileStatus returns a Status in which every text is long, and which JSON makes longer.
func hostileStatus() *metav1.Status {
	long := strings.Repeat("<", 3_000_000)
	causes := make([]metav1.StatusCause, 1_000)
	for i := range causes {
		causes[i] = metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Message: long, Field: long}
	}
	return &metav1.Status{Status: metav1.StatusFailure, Code: 422, Message: long, Details: &metav1.StatusDetails{Name: long, Kind: long, Group: long, Causes: causes}}
}

func TestStatus_Bounded(t *testing.T) {
	status := hostileStatus()
	got := Status(status)
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > maxResponse {
		t.Errorf("got %d bytes, want at most %d", len(data), maxResponse)
	}
	causes := got.Details.Causes
	if want := fmt.Sprintf("...; %d more causes are not listed", 1_000-len(causes)); len(causes) == 0 || !strings.HasSuffix(causes[len(causes)-1].Message, want) {
		t.Errorf("got %d causes, and the last one does not end with %q", len(causes), want)
	}
	if len(status.Message) != 3_000_000 || len(status.Details.Name) != 3_000_000 || len(status.Details.Causes[0].Field) != 3_000_000 {
		t.Error("the argument was modified")
	}
}

func TestStatus_KeepsBoundedErrors(t *testing.T) {
	for name, err := range map[string]*apierrors.StatusError{
		"not found":     apierrors.NewNotFound(schema.GroupResource{Group: "batch", Resource: "jobs"}, "pi"),
		"without cause": apierrors.NewBadRequest("x"),
		"many errors":   apierrors.NewInvalid(schema.GroupKind{Group: "batch", Kind: "Job"}, "pi", Errors(invalid(100_000))),
		"long errors": apierrors.NewInvalid(schema.GroupKind{Group: "batch", Kind: "Job"}, "pi", Errors(field.ErrorList{
			field.Invalid(field.NewPath("spec"), strings.Repeat("<", 1_000_000), strings.Repeat("x", 1_000_000)),
		})),
	} {
		if diff := cmp.Diff(&err.ErrStatus, Status(&err.ErrStatus)); diff != "" {
			t.Errorf("%s has changed (-want +got):\n%s", name, diff)
		}
	}
}

func TestNegotiatedSerializer(t *testing.T) {
	s := NegotiatedSerializer(legacyscheme.Codecs)
	for _, info := range s.SupportedMediaTypes() {
		encoder := s.EncoderForVersion(info.Serializer, schema.GroupVersion{Group: "batch", Version: "v1"})
		var encoded, allocated bytes.Buffer
		if err := encoder.Encode(hostileStatus(), &encoded); err != nil {
			t.Fatal(err)
		}
		if err := encoder.(runtime.EncoderWithAllocator).EncodeWithAllocator(hostileStatus(), &allocated, &runtime.Allocator{}); err != nil {
			t.Fatal(err)
		}
		if encoded.Len() == 0 || encoded.Len() > maxResponse || !bytes.Equal(encoded.Bytes(), allocated.Bytes()) {
			t.Errorf("%s: got %d bytes, and %d with an allocator, want at most %d", info.MediaType, encoded.Len(), allocated.Len(), maxResponse)
		}
	}
}

type recordingBackend struct {
	audit.Backend
	events []*auditinternal.Event
}

func (b *recordingBackend) ProcessEvents(events ...*auditinternal.Event) bool {
	b.events = append(b.events, events...)
	return true
}

func TestAuditBackend(t *testing.T) {
	recorder := &recordingBackend{}
	failed, succeeded := &auditinternal.Event{AuditID: "1", ResponseStatus: hostileStatus()}, &auditinternal.Event{AuditID: "2"}
	if !AuditBackend(recorder).ProcessEvents(failed, succeeded) {
		t.Error("the events were not processed")
	}
	if got := recorder.events; len(got) != 2 || got[0].AuditID != "1" || got[1] != succeeded {
		t.Fatalf("got other events: %d", len(got))
	}
	if got := len(recorder.events[0].ResponseStatus.Message); got > maxMessage+3 {
		t.Errorf("the message has %d bytes, want at most %d", got, maxMessage+3)
	}
	if len(failed.ResponseStatus.Message) != 3_000_000 {
		t.Error("the event was modified")
	}
}
