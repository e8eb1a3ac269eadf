// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// patch is an update that is applied to the stored Job.
type patch func(*batch.Job) (runtime.Object, error)

func (p patch) Preconditions() *metav1.Preconditions { return nil }

func (p patch) UpdatedObject(_ context.Context, old runtime.Object) (runtime.Object, error) {
	return p(old.(*batch.Job))
}

var _ rest.UpdatedObjectInfo = patch(nil)

func TestSelfLink_Set(t *testing.T) {
	for _, serve := range []bool{true, false} {
		l := selfLink{serve: serve}
		want := ""
		if serve {
			want = link
		}
		if got := l.set(storedJob()).(*batch.Job).SelfLink; got != want {
			t.Errorf("serve=%t: selfLink %q, want %q", serve, got, want)
		}
		status := &metav1.Status{Status: metav1.StatusSuccess} // the response to a delete
		if l.set(status) != runtime.Object(status) || status.SelfLink != "" {
			t.Errorf("serve=%t: a Status has changed: %v", serve, status)
		}
		if got := l.set(nil); got != nil {
			t.Errorf("serve=%t: set(nil) returns %v", serve, got)
		}
	}
}

// The stored Job may belong to the watch cache.
func TestObjectInfo_PatchSeesSelfLink(t *testing.T) {
	stored := storedJob()
	info := selfLink{serve: true}.objectInfo(patch(func(visible *batch.Job) (runtime.Object, error) {
		if visible.SelfLink != link {
			t.Errorf("the patch is applied to a Job with the selfLink %q", visible.SelfLink)
		}
		return visible.DeepCopy(), nil
	}))
	if _, err := info.UpdatedObject(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if stored.SelfLink != "" {
		t.Error("the stored Job has changed")
	}
}

func TestObjectInfo_UIDPrecondition(t *testing.T) {
	for name, tc := range map[string]struct {
		stored, sent types.UID
		conflict     bool
	}{
		"stored UID":    {"1", "1", false},
		"different UID": {"1", "2", true},
		"no UID":        {"1", "", false},
		"new Job":       {"", "2", false},
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
				t.Errorf("error %v, want a conflict: %t", err, tc.conflict)
			}
		})
	}
}

func TestObjectInfo_FailedPatch(t *testing.T) {
	failure := errors.New("no such path")
	_, err := selfLink{}.objectInfo(patch(func(*batch.Job) (runtime.Object, error) { return nil, failure })).UpdatedObject(t.Context(), storedJob())
	if !errors.Is(err, failure) {
		t.Errorf("error %v, want %v", err, failure)
	}
}

func TestObjectInfo_UncomparablePatch(t *testing.T) {
	key := any(map[string]any{})
	_, err := selfLink{}.objectInfo(patch(func(*batch.Job) (runtime.Object, error) {
		return nil, fmt.Errorf("equal: %t", key == any(map[string]any{}))
	})).UpdatedObject(t.Context(), storedJob())
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), "the update cannot be applied to the stored Job: runtime error: comparing uncomparable type") {
		t.Errorf("error %v, want a bad request", err)
	}
}

// The server counts and logs other panics, and net/http handles ErrAbortHandler.
func TestObjectInfo_OtherPanics(t *testing.T) {
	for _, reason := range []any{"internal fault", http.ErrAbortHandler} {
		func() {
			defer func() {
				if got := recover(); got != reason {
					t.Errorf("panic %v, want %v", got, reason)
				}
			}()
			_, err := selfLink{}.objectInfo(patch(func(*batch.Job) (runtime.Object, error) { panic(reason) })).UpdatedObject(t.Context(), storedJob())
			t.Errorf("got the error %v instead of a panic", err)
		}()
	}
}
