// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A policy grants a field while the Job has a label. Another writer keeps removing and restoring
// the label directly in etcd, like a kube-apiserver on the same etcd. The history in etcd shows
// whether the gate ever evaluated an update against a version of the Job other than the one that it
// replaced.
func TestUpdateEvaluatedAgainstReplacedJob(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	p := policyFor(namespace, `metadata.annotations["example.com/note"]`)
	p.Spec.JobSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "blue"}}
	createPolicy(t, p)
	shared.admin.create(t, namespace, newJob(t))
	path, key := jobPath(namespace, "pi"), jobKey(namespace, "pi")
	granted := shared.read(t, key)
	shared.admin.patch(t, path, mergePatch, `{"metadata":{"labels":{"team":"green"}}}`).expect(t, http.StatusOK)
	notGranted := shared.read(t, key)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	history := shared.etcd.Watch(ctx, key, clientv3.WithRev(notGranted.revision))
	flips := make(chan error, 1)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			value := granted.value
			if i%2 == 1 {
				value = notGranted.value
			}
			if _, err := shared.etcd.Put(ctx, key, string(value)); err != nil && ctx.Err() == nil {
				flips <- err
				return
			}
			time.Sleep(time.Duration(i%7) * time.Millisecond / 2) // vary the timing relative to updates
		}
		flips <- nil
	}()

	codes := map[int]int{}
	for i := 0; codes[http.StatusOK] < 60 || codes[http.StatusUnprocessableEntity] < 60; i++ {
		resp := shared.admin.patch(t, path, mergePatch, fmt.Sprintf(`{"metadata":{"annotations":{"example.com/note":"n%d"}}}`, i))
		codes[resp.code]++
		if resp.code != http.StatusOK && resp.code != http.StatusUnprocessableEntity && resp.code != http.StatusConflict {
			t.Fatalf("got status %d: %s", resp.code, resp.body)
		}
		if i > 20_000 {
			t.Fatalf("updates did not reach both outcomes often enough: %v", codes)
		}
	}
	last := shared.read(t, key).revision
	defer time.AfterFunc(waitTimeout, cancel).Stop() // ends a stalled watch
	team, note, changed, seen := "", "", 0, int64(0)
	for response := range history {
		if err := response.Err(); err != nil {
			t.Fatalf("watching etcd: %v", err)
		}
		for _, event := range response.Events {
			job := stored{value: event.Kv.Value}.job(t)
			if got := job.Annotations["example.com/note"]; got != note && got != "first" && event.Kv.ModRevision > notGranted.revision {
				changed++
				if team != "blue" {
					t.Fatalf("annotation changed with team=%s to %s at revision %d", team, got, event.Kv.ModRevision)
				}
			}
			team, note = job.Labels["team"], job.Annotations["example.com/note"]
			if seen = event.Kv.ModRevision; seen >= last {
				cancel()
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if seen < last {
		t.Errorf("watch got to revision %d in %s, want %d", seen, waitTimeout, last)
	}
	if err := <-flips; err != nil {
		t.Errorf("changing the label in etcd: %v", err)
	}
	if changed < codes[http.StatusOK] {
		t.Errorf("history has %d changes, but %d updates succeeded", changed, codes[http.StatusOK])
	}
	t.Logf("responses by status: %v", codes)
}
