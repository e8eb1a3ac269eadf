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

// TestUpdateEvaluatedAgainstReplacedJob has a policy that grants a field while the Job has
// a label, and somebody who takes the label away and gives it back, past this server, as a
// kube-apiserver on the same etcd would. The history in etcd tells whether an update was ever
// judged by another Job than the one that it has replaced.
func TestUpdateEvaluatedAgainstReplacedJob(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	p := policyFor(namespace, `metadata.annotations["example.com/note"]`)
	p.Spec.JobSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "blue"}}
	createPolicy(t, p)
	shared.admin.create(t, namespace, newJob(t))
	path, key := jobPath(namespace, "pi"), jobKey(namespace, "pi")
	open := shared.read(t, key)
	shared.admin.patch(t, path, mergePatch, `{"metadata":{"labels":{"team":"green"}}}`).expect(t, http.StatusOK)
	closed := shared.read(t, key)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	history := shared.etcd.Watch(ctx, key, clientv3.WithRev(closed.revision))
	flips := make(chan error, 1)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			value := open.value
			if i%2 == 1 {
				value = closed.value
			}
			if _, err := shared.etcd.Put(ctx, key, string(value)); err != nil && ctx.Err() == nil {
				flips <- err
				return
			}
			time.Sleep(time.Duration(i%7) * time.Millisecond / 2) // for updates to meet it at any moment
		}
		flips <- nil
	}()

	codes := map[int]int{}
	for i := 0; codes[http.StatusOK] < 60 || codes[http.StatusUnprocessableEntity] < 60; i++ {
		resp := shared.admin.patch(t, path, mergePatch, fmt.Sprintf(`{"metadata":{"annotations":{"example.com/note":"n%d"}}}`, i))
		codes[resp.code]++
		if resp.code != http.StatusOK && resp.code != http.StatusUnprocessableEntity && resp.code != http.StatusConflict {
			t.Fatalf("the answer is %d: %s", resp.code, resp.body)
		}
		if i > 20_000 {
			t.Fatalf("the updates do not end in both ways: %v", codes)
		}
	}
	last := shared.read(t, key).revision
	defer time.AfterFunc(waitTimeout, cancel).Stop() // a watch that stalls ends with the context
	team, note, changed, seen := "", "", 0, int64(0)
	for response := range history {
		if err := response.Err(); err != nil {
			t.Fatalf("reading the history: %v", err)
		}
		for _, event := range response.Events {
			job := stored{value: event.Kv.Value}.job(t)
			if is := job.Annotations["example.com/note"]; is != note && is != "first" && event.Kv.ModRevision > closed.revision {
				changed++
				if team != "blue" {
					t.Fatalf("the annotation of a Job of team %s was changed to %s at revision %d", team, is, event.Kv.ModRevision)
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
		t.Errorf("the history has come to revision %d in %s, of %d: is etcd still there?", seen, waitTimeout, last)
	}
	if err := <-flips; err != nil {
		t.Errorf("changing the label: %v", err)
	}
	if changed < codes[http.StatusOK] {
		t.Errorf("%d changes are in the history, %d were answered with 200", changed, codes[http.StatusOK])
	}
	t.Logf("answers by code: %v", codes)
}
