// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func TestTakeover_Run(t *testing.T) {
	c := newCluster(t)
	r := &recorder{}
	if err := takeOver(t, c, r); err != nil {
		t.Fatal(err)
	}
	checkTakenOver(t, c)
	for name, want := range map[string]string{
		"permissions": "permissions", "current server": "kube-apiserver", "service": "1 ready", "server": "certificate valid until 2100-01-01",
		"versions": "cluster v1.37.2, server v1.37.2", "discovery": "the same 2 resources and 2 paths", "objects": "the same 1 Jobs and CronJobs",
		"canary": "a Job and a CronJob in default were written and read through both servers, and deleted", "take over": "v1.batch points to batchgate-system/batchgate-apiserver",
		"available": "after", "objects through kube-apiserver": "the same 1 Jobs and CronJobs",
	} {
		if got := r.result(name); got.Error != "" || !strings.Contains(got.Detail, want) {
			t.Errorf("%s: %+v, want %q", name, got, want)
		}
	}
	again := &recorder{}
	if err := takeOver(t, c, again); err != nil || !strings.Contains(again.result("take over").Detail, "already") {
		t.Errorf("repeated: %v, %+v", err, again)
	}
	if err := rollBack(t, c, again); err != nil {
		t.Fatal(err)
	}
	checkNative(t, c)
	if got := again.result("roll back"); got.Undo != "kubectl batchgate takeover" {
		t.Errorf("unexpected undo command: %q", got.Undo)
	}
	if got := again.result("discovery"); got.Detail != "kube-apiserver no longer asks Batchgate" {
		t.Errorf("discovery: %+v", got)
	}
}

func TestTakeover_RunWithoutJobs(t *testing.T) {
	storage := fake.NewMemory(1)
	c := fake.New(storage, storage)
	r := &recorder{}
	if err := takeOver(t, c, r); err != nil || !strings.HasPrefix(r.result("canary").Detail, "a Job and a CronJob in default were written") {
		t.Errorf("unexpected error or result: %v, %+v", err, r)
	}
}

func TestTakeover_DryRun(t *testing.T) {
	c := newCluster(t)
	r := &recorder{}
	o := takeover.Takeover{Cluster: c.Cluster, Batchgate: c.Connection(), Report: r.report, DryRun: true}
	if err := o.Run(t.Context()); err != nil || !strings.Contains(r.result("take over").Detail, "would point") {
		t.Errorf("unexpected error or result: %v, %+v", err, r)
	}
	checkNative(t, c)
}

func TestTakeover_ConflictingChange(t *testing.T) {
	c := newCluster(t)
	c.Before = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" {
			c.Touch()
		}
		return nil
	}
	r := &recorder{}
	if err := takeOver(t, c, r); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "was changed by another client") {
		t.Errorf("unexpected error: %v", err)
	}
	if c.TakenOver() {
		t.Error("the other change was overwritten")
	}
}

func TestTakeover_KeepsCertManagerAnnotations(t *testing.T) {
	c := newCluster(t)
	a, err := c.Aggregator.ApiregistrationV1().APIServices().Get(t.Context(), policy.PolicyAPIService, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a.Annotations = map[string]string{policy.CertManagerInjectAnnotation: "a/b"}
	if _, err := c.Aggregator.ApiregistrationV1().APIServices().Update(t.Context(), a, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := takeOver(t, c, &recorder{}); err != nil {
		t.Fatal(err)
	}
	if got := c.APIService().Annotations[policy.CertManagerInjectAnnotation]; got != "a/b" {
		t.Errorf("unexpected annotation: %q", got)
	}
	if err := rollBack(t, c, &recorder{}); err != nil {
		t.Fatal(err)
	}
	checkNative(t, c)
}

// Any request may fail or be the last one before a kill. In each case the error describes the state
// correctly, and the command can be repeated or rolled back.
func TestTakeover_Interrupted(t *testing.T) {
	for _, mode := range fake.Modes {
		t.Run(string(mode), func(t *testing.T) {
			for n := 1; ; n++ {
				c := newCluster(t)
				request, err := c.RunWithFault(n, mode, func() error { return takeOver(t, c, &recorder{}) })
				if request == "" {
					if n < 3 || mode == fake.Fail && n < 40 || err != nil {
						t.Errorf("after %d requests: %v", n, err)
					}
					return
				}
				switch {
				case err == nil:
					checkTakenOver(t, c)
				case errors.Is(err, steps.ErrNothingChanged), errors.Is(err, steps.ErrRolledBack):
					checkNative(t, c)
				}
				if c.APIService() == nil && !mode.Kills() {
					t.Error("the APIService is missing")
				}
				if c.APIService() != nil {
					if err := takeOver(t, c, &recorder{}); err != nil {
						t.Errorf("repeated: %v", err)
					}
					checkTakenOver(t, c)
				}
				if err := rollBack(t, c, &recorder{}); err != nil {
					t.Errorf("rolled back: %v", err)
				}
				checkNative(t, c)
				if t.Failed() {
					t.Fatalf("request %d, %q: %v", n, request, err)
				}
			}
		})
	}
}
