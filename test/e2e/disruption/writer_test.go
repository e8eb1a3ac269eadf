// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// countLabel is set by each patch of a Job, to a value that the test can look for afterwards.
const countLabel = "test.batchgate.io/count"

// writer sends requests one by one. It retries each until it succeeds, and records what must be
// stored afterwards.
type writer struct {
	outcome

	id    int
	pause time.Duration // after each Job
	jobs  batchclient.JobInterface
	// counts has the count label of each Job that must be stored, by name.
	counts map[string]string
	// err is why the writer gave up.
	err error
}

// run creates Jobs and patches each three times. It deletes every third Job.
func (w *writer) run(ctx context.Context, stop <-chan struct{}) {
	for i := 0; w.err == nil; i++ {
		select {
		case <-stop:
			return
		default:
		}
		name := fmt.Sprintf("load-%d-%d", w.id, i)
		w.do("create "+name, apierrors.IsAlreadyExists, func() error {
			_, err := w.jobs.Create(ctx, framework.NewJob(name), metav1.CreateOptions{})
			return err
		})
		for n := range 3 {
			count := fmt.Sprint(n)
			patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, countLabel, count)
			w.do("patch "+name, nil, func() error {
				_, err := w.jobs.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
				return err
			})
			w.counts[name] = count
		}
		if i%3 == 0 {
			background := metav1.DeletePropagationBackground
			w.do("delete "+name, apierrors.IsNotFound, func() error {
				return w.jobs.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background})
			})
			delete(w.counts, name)
		}
		time.Sleep(w.pause)
	}
}

// do sends a request until it succeeds. A failed try may have taken effect, so that a retry
// fails. done recognizes such errors and may be nil.
func (w *writer) do(what string, done func(error) bool, send func() error) {
	if w.err != nil {
		return
	}
	began := time.Now()
	w.requests++
	for failed := false; ; failed = true {
		err := send()
		if err == nil || failed && done != nil && done(err) {
			break
		}
		if !failed {
			w.failures++
			if connectionLost(err) {
				w.lost++
			}
			w.errors = append(w.errors, fmt.Errorf("%s: %w", what, err))
		}
		if !retriable(err) && !connectionLost(err) || time.Since(began) > waitTimeout {
			w.err = fmt.Errorf("%s: %w", what, err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.longest = max(w.longest, time.Since(began))
}
