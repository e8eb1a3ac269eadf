// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/tools/record"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

func TestStrategy_PublishRecordsEvents(t *testing.T) {
	suspend := func(j *batch.Job) { j.Spec.Suspend = new(true) }
	annotate := func(keys ...string) jobChange {
		return func(j *batch.Job) {
			j.Annotations = map[string]string{}
			for _, key := range keys {
				j.Annotations[key] = ""
			}
		}
	}
	manyKeys := make([]string, fieldpolicy.MaxChanges+1)
	for i := range manyKeys {
		manyKeys[i] = strings.Repeat("a", i%60+1) + string(rune('a'+i%26)) + strings.Repeat("b", i/60+1)
	}
	for name, tc := range map[string]struct {
		send    jobChange
		options metav1.UpdateOptions
		want    string // empty: no Event
	}{
		"denied":    {send: both(suspend, annotate("b", "a")), want: `Warning UpdateDenied "alice" may not update metadata.annotations["a"], metadata.annotations["b"], spec.suspend`},
		"many":      {send: annotate("a", "b", "c", "d", "e", "f", "g"), want: `Warning UpdateDenied "alice" may not update metadata.annotations["a"], metadata.annotations["b"], metadata.annotations["c"], metadata.annotations["d"], metadata.annotations["e"], 2 more`},
		"long path": {send: annotate("a", strings.Repeat("b", 2000)), want: `Warning UpdateDenied "alice" may not update metadata.annotations["a"], 1 more`},
		"only long": {send: annotate(strings.Repeat("b", 2000)), want: `Warning UpdateDenied "alice" may not update fields with long paths`},
		"too many":  {send: annotate(manyKeys...), want: `Warning UpdateDenied "alice" may not update more than 10000 fields`},
		"dry run":   {send: suspend, options: metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}},
		"allowed":   {send: parallelism(3)},
	} {
		t.Run(name, func(t *testing.T) {
			events := record.NewFakeRecorder(2)
			gate := &Gate{Policies: bootstrapGate.Policies, NamespaceLabels: namespaceLabels, Events: events}
			strategy := NewStrategy(gate)
			ctx := requestContext("alice", &recorder{})
			old := storedJob(t)
			sent := old.DeepCopy()
			tc.send(sent)
			err := rest.BeforeUpdate(strategy, ctx, sent, old)
			strategy.Publish(ctx, &tc.options, err)
			close(events.Events)
			if got := <-events.Events; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if got, more := <-events.Events; more {
				t.Errorf("there is another Event: %s", got)
			}
		})
	}
}

func TestStrategy_PublishRecordsNoEventWithoutAJob(t *testing.T) {
	events := record.NewFakeRecorder(1)
	strategy := NewStrategy(&Gate{Policies: bootstrapGate.Policies, NamespaceLabels: namespaceLabels, Events: events})
	strategy.err = context.DeadlineExceeded
	strategy.Publish(requestContext("alice", &recorder{}), &metav1.UpdateOptions{}, strategy.err)
	if len(events.Events) > 0 {
		t.Errorf("there is an Event: %s", <-events.Events)
	}
}
