// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

func TestController_CheckStaleness(t *testing.T) {
	f := newFixture(t, append(bootstrappolicy.Policies(), suspendPolicy("p"))...)
	f.run()
	f.eventually("readiness", f.isReady)
	if err := f.checkStaleness(t.Context()); err != nil {
		t.Errorf("without a change: %v", err)
	}
	for name, tc := range map[string]struct {
		list *v1alpha1.JobUpdatePolicyList
		err  error
		want string
	}{
		"unreadable policy": {err: errors.New("cannot be decoded"), want: "cannot be decoded"},
		"missed update": {
			list: &v1alpha1.JobUpdatePolicyList{Items: []v1alpha1.JobUpdatePolicy{{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "p", Generation: 2}}}},
			want: "policy p has changed",
		},
		"missed create": {
			list: &v1alpha1.JobUpdatePolicyList{Items: []v1alpha1.JobUpdatePolicy{{ObjectMeta: metav1.ObjectMeta{Name: "new"}}}},
			want: "policy new has changed",
		},
		"missed delete": {list: &v1alpha1.JobUpdatePolicyList{}, want: "3 policies are active and 0 are stored"},
	} {
		t.Run(name, func(t *testing.T) {
			reacting := true
			f.clientset.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
				if tc.err != nil {
					return reacting, nil, tc.err
				}
				return reacting, tc.list, nil
			})
			defer func() { reacting = false }()
			if err := f.checkStaleness(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}

// A replica that misses changes is not ready until it has them.
func TestController_DetectsStaleness(t *testing.T) {
	f := newFixture(t)
	f.run()
	f.eventually("readiness", f.isReady)
	errStale := errors.New("policies differ")
	f.recordStaleness(errStale)
	if !f.isReady() {
		t.Error("one difference makes the replica not ready")
	}
	f.recordStaleness(errStale)
	if err := f.Check(nil); err == nil || !errors.Is(err, errStale) {
		t.Errorf("after two differences Check returns %v", err)
	}
	f.recordStaleness(nil)
	if !f.isReady() {
		t.Error("the replica does not become ready again")
	}
}

// Policies that cannot be read keep a replica not ready for notReadyLimit. After that, updates of
// Jobs fail with the reason.
func TestController_NotReadyLimit(t *testing.T) {
	t.Run("not loaded", func(t *testing.T) {
		f := newFixture(t)
		var elapsed atomic.Int64
		f.now = func() time.Time { return f.created.Add(time.Duration(elapsed.Load())) }
		stop := f.fail("list", errors.New("no key for policy x"))
		f.run()
		f.eventually("reason", func() bool { return strings.Contains(f.Check(nil).Error(), "no key for policy x") })
		elapsed.Store(int64(notReadyLimit))
		if err := f.Check(nil); err != nil {
			t.Errorf("after the limit Check returns %v", err)
		}
		if err := f.snapshots.Err(); err == nil || !strings.Contains(err.Error(), "no key for policy x") {
			t.Errorf("after the limit updates get %v", err)
		}
		stop()
		f.eventually("policies", func() bool { return f.snapshots.Err() == nil })
	})
	t.Run("outdated", func(t *testing.T) {
		f := newFixture(t)
		now := time.Now()
		f.now = func() time.Time { return now }
		f.snapshots.Set(&fieldpolicy.Snapshot{})
		f.Controller.ready.Store(true)
		errStale := errors.New("policies differ")
		for range stalenessThreshold {
			f.recordStaleness(errStale)
		}
		if err := f.snapshots.Err(); f.isReady() || err != nil {
			t.Errorf("at first the replica is ready or updates get %v", err)
		}
		now = now.Add(notReadyLimit)
		f.recordStaleness(errStale)
		if err := f.snapshots.Err(); !f.isReady() || !errors.Is(err, errStale) {
			t.Errorf("after the limit the replica is not ready, or updates get %v", err)
		}
		f.recordStaleness(nil)
		if err := f.snapshots.Err(); !f.isReady() || err != nil {
			t.Errorf("after recovery the replica is not ready, or updates get %v", err)
		}
	})
}
