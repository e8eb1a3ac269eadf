package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"
)

const link = "/apis/batch/v1/namespaces/studio/jobs/render"

func storedJob() *batch.Job {
	return &batch.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "studio", Name: "render", UID: "1"}}
}

// patch is an update that sees the stored Job, as a patch does.
type patch func(*batch.Job) (runtime.Object, error)

func (p patch) Preconditions() *metav1.Preconditions { return nil }

func (p patch) UpdatedObject(_ context.Context, old runtime.Object) (runtime.Object, error) {
	return p(old.(*batch.Job))
}

var _ rest.UpdatedObjectInfo = patch(nil)

func TestSelfLinkIsServedInAnswersAboutOneJob(t *testing.T) {
	for _, serve := range []bool{true, false} {
		l := selfLink{serve: serve}
		want := ""
		if serve {
			want = link
		}
		if got := l.fill(storedJob()).(*batch.Job).SelfLink; got != want {
			t.Errorf("serve=%t: the selfLink is %q, want %q", serve, got, want)
		}
		status := &metav1.Status{Status: metav1.StatusSuccess} // the answer to a deletion
		if l.fill(status) != runtime.Object(status) || status.SelfLink != "" {
			t.Errorf("serve=%t: an answer that is no Job has changed: %v", serve, status)
		}
		if got := l.fill(nil); got != nil {
			t.Errorf("serve=%t: no answer, for an error, is %v", serve, got)
		}
	}
}

// The stored object may be that of the watch cache.
func TestPatchSeesTheSelfLinkAndTheStoredJobDoesNotChange(t *testing.T) {
	stored := storedJob()
	info := selfLink{serve: true}.objectInfo(patch(func(shown *batch.Job) (runtime.Object, error) {
		if shown.SelfLink != link {
			t.Errorf("the patch sees the selfLink %q", shown.SelfLink)
		}
		return shown.DeepCopy(), nil
	}))
	if _, err := info.UpdatedObject(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if stored.SelfLink != "" {
		t.Error("the stored Job has changed")
	}
}

func TestUIDIsAPrecondition(t *testing.T) {
	for name, tc := range map[string]struct {
		stored, sent types.UID
		conflict     bool
	}{
		"the stored one":               {"1", "1", false},
		"another":                      {"1", "2", true},
		"none":                         {"1", "", false},
		"any, where nothing is stored": {"", "2", false},
	} {
		t.Run(name, func(t *testing.T) {
			stored := storedJob()
			stored.UID = tc.stored
			_, err := selfLink{}.objectInfo(patch(func(j *batch.Job) (runtime.Object, error) {
				sent := j.DeepCopy()
				sent.UID = tc.sent
				return sent, nil
			})).UpdatedObject(t.Context(), stored)
			if apierrors.IsConflict(err) != tc.conflict || err != nil && !tc.conflict {
				t.Errorf("the error is %v, want a conflict: %t", err, tc.conflict)
			}
		})
	}
}

func TestFailedPatchFailsTheUpdate(t *testing.T) {
	failure := errors.New("no such path")
	_, err := selfLink{}.objectInfo(patch(func(*batch.Job) (runtime.Object, error) { return nil, failure })).UpdatedObject(t.Context(), storedJob())
	if !errors.Is(err, failure) {
		t.Errorf("the error is %v, want %v", err, failure)
	}
}

func TestPatchThatComparesWhatCannotBeComparedFailsTheUpdate(t *testing.T) {
	key := any(map[string]any{})
	_, err := selfLink{}.objectInfo(patch(func(*batch.Job) (runtime.Object, error) {
		return nil, fmt.Errorf("equal: %t", key == any(map[string]any{}))
	})).UpdatedObject(t.Context(), storedJob())
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), "the update cannot be applied to the stored Job: runtime error: comparing uncomparable type") {
		t.Errorf("the error is %v, want a bad request", err)
	}
}

// The server counts and logs it, and net/http knows what to do about the last.
func TestOtherPanicsAreNotTakenForTheFaultOfAPatch(t *testing.T) {
	for _, reason := range []any{"a fault of ours", http.ErrAbortHandler} {
		func() {
			defer func() {
				if got := recover(); got != reason {
					t.Errorf("the panic is %v, want %v", got, reason)
				}
			}()
			_, err := selfLink{}.objectInfo(patch(func(*batch.Job) (runtime.Object, error) { panic(reason) })).UpdatedObject(t.Context(), storedJob())
			t.Errorf("there is no panic, but the error %v", err)
		}()
	}
}
