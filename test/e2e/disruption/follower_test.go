// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// follower watches the scenario's Jobs through kube-apiserver. When a watch ends, it resumes from
// the last resource version that it has seen.
type follower struct {
	s    *scenario
	last string

	mu sync.Mutex
	followerStats
	// added counts ADDED events by Job name.
	added map[string]int
}

type followerStats struct {
	// ends counts watches that ended normally.
	ends int
	// lists counts how often the follower had to list, because the resource version was too old to
	// resume from. This happens after a restart of all replicas.
	lists int
	// broken has the error of each watch or list that failed.
	broken []error
}

// stats returns what happened to the watches so far.
func (f *follower) stats() followerStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return followerStats{ends: f.ends, lists: f.lists, broken: slices.Clone(f.broken)}
}

// follow starts a follower. It ends with the test.
func (s *scenario) follow() *follower {
	s.t.Helper()
	list, err := s.Client.BatchV1().Jobs(s.namespace).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	f := &follower{s: s, last: list.ResourceVersion, added: map[string]int{}}
	var running sync.WaitGroup
	s.t.Cleanup(running.Wait) // the test's context is canceled before
	running.Go(func() { f.run(s.t.Context()) })
	return f
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		listed := errors.Is(err, errTooOld)
		if listed {
			err = f.list(ctx)
		}
		f.mu.Lock()
		switch {
		case err != nil:
			f.broken = append(f.broken, err)
		case listed:
			f.lists++
		default:
			f.ends++
		}
		f.mu.Unlock()
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

var errTooOld = errors.New("the resource version is too old to resume from")

// list does what informers do if they cannot resume.
func (f *follower) list(ctx context.Context) error {
	list, err := f.s.Client.BatchV1().Jobs(f.s.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	f.last = list.ResourceVersion
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, job := range list.Items {
		f.added[job.Name] = 1
	}
	return nil
}

// watch returns nil when the watch ends normally, and errTooOld if it cannot resume.
func (f *follower) watch(ctx context.Context) error {
	options := metav1.ListOptions{Watch: true, ResourceVersion: f.last}
	stream, err := f.s.Client.BatchV1().RESTClient().Get().Namespace(f.s.namespace).Resource("jobs").
		SetHeader("Accept", "application/json").VersionedParams(&options, scheme.ParameterCodec).Stream(ctx)
	if err != nil {
		return fmt.Errorf("resuming from %s: %w", f.last, err)
	}
	defer stream.Close()
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event metav1.WatchEvent
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return fmt.Errorf("%q: %w", lines.Bytes(), err)
		}
		if event.Type == string(watch.Error) {
			var status metav1.Status
			if err := json.Unmarshal(event.Object.Raw, &status); err == nil && status.Reason == metav1.StatusReasonExpired {
				return errTooOld
			}
			return fmt.Errorf("received an error event: %s", event.Object.Raw)
		}
		var job batchv1.Job
		if err := json.Unmarshal(event.Object.Raw, &job); err != nil {
			return err
		}
		f.last = job.ResourceVersion
		if event.Type == string(watch.Added) {
			f.mu.Lock()
			f.added[job.Name]++
			f.mu.Unlock()
		}
	}
	return lines.Err()
}

// awaitSawAll waits until the follower has seen each Job that the load did not delete, and each of
// them exactly once.
func (f *follower) awaitSawAll(l *load) {
	f.s.t.Helper()
	f.s.eventually("see all Jobs in the watch", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, w := range l.writers {
			for name := range w.counts {
				if times := f.added[name]; times != 1 {
					return fmt.Errorf("the watch, resumed %d times, has shown Job %s as new %d times", f.ends+f.lists+len(f.broken), name, times)
				}
			}
		}
		return nil
	})
}

// awaitMore waits until the follower has seen this many further Jobs.
func (f *follower) awaitMore(jobs int) {
	f.s.t.Helper()
	want := -1
	f.s.eventually("see new Jobs in the watch", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if want < 0 {
			want = len(f.added) + jobs
		}
		if len(f.added) < want {
			return fmt.Errorf("saw %d Jobs, want %d", len(f.added), want)
		}
		return nil
	})
}
