// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	writerCount = 4
	// minRequests is the minimum number of requests of a load.
	minRequests = 100
	// minProgress is the number of Jobs that awaitProgress waits for.
	minProgress = 10
)

// load is a set of writers that create, patch and delete Jobs until it is stopped. The Jobs run to
// completion.
type load struct {
	s       *scenario
	stop    chan struct{}
	running sync.WaitGroup
	writers []*writer
}

func (s *scenario) startLoad() *load { return s.startPacedLoad(0) }

// startPacedLoad starts a load whose writers pause between two Jobs. Without a pause, they are faster
// than the controllers, which then take minutes to get to a Job.
func (s *scenario) startPacedLoad(pause time.Duration) *load {
	l := &load{s: s, stop: make(chan struct{})}
	for id := range writerCount {
		w := &writer{id: id, pause: pause, jobs: s.Client.BatchV1().Jobs(s.namespace), counts: map[string]string{}}
		l.writers = append(l.writers, w)
		l.running.Go(func() { w.run(s.t.Context(), l.stop) })
	}
	return l
}

// outcome sums up the requests of writers. A request counts as a failure if its first try failed,
// even if a retry succeeded.
type outcome struct {
	requests, failures int
	// lost is how many of the failures are lost connections to kube-apiserver.
	lost int
	// longest is the longest time from the first try of a request to its success.
	longest time.Duration
	// errors has the error of the first try of each failure.
	errors []error
}

// log logs each distinct error once, with its count.
func (o outcome) log(t *testing.T) {
	t.Helper()
	counts := map[string]int{}
	for _, err := range o.errors {
		counts[describe(err)]++
	}
	for text, count := range counts {
		t.Logf("%d requests of the writers failed with %s", count, text)
	}
}

// finish stops the writers. It waits until the cluster's etcd has exactly the Jobs that were
// written, and until no Pod is an orphan.
func (l *load) finish() outcome {
	l.s.t.Helper()
	all := l.end(l.s.clusterEtcd())
	// A kubelet retries a status update that failed. The fake one does so only when it lists Pods
	// again, so restart it.
	if err := errors.Join(l.s.Kwok.Stop(), l.s.Kwok.Start()); err != nil {
		l.s.t.Fatal(err)
	}
	l.s.awaitNoOrphans()
	return all
}

// finishUnaffected is finish for a disruption that no client may notice.
func (l *load) finishUnaffected() {
	l.s.t.Helper()
	if all := l.finish(); all.failures > 0 {
		l.s.t.Errorf("requests failed: %v", all.errors)
	}
}

// end stops the writers. It waits until an etcd has exactly the Jobs that they have written and the
// Jobs named in others.
func (l *load) end(etcd *clientv3.Client, others ...string) outcome {
	l.s.t.Helper()
	close(l.stop)
	l.running.Wait()
	all := outcome{}
	want := map[string]string{}
	for _, name := range others {
		want[name] = ""
	}
	for _, w := range l.writers {
		if w.err != nil {
			l.s.t.Errorf("a writer gave up: %v", w.err)
		}
		for name, count := range w.counts {
			want[name] = count
		}
		all.requests += w.requests
		all.failures += w.failures
		all.lost += w.lost
		all.longest = max(all.longest, w.longest)
		all.errors = append(all.errors, w.errors...)
	}
	l.s.t.Logf("%d requests, %d of them failed at first (%d lost connections), the longest took %s", all.requests, all.failures, all.lost, all.longest.Round(time.Millisecond))
	if all.requests < minRequests {
		l.s.t.Errorf("only %d requests were sent, want at least %d", all.requests, minRequests)
	}
	l.s.eventually("have the right Jobs in etcd", func() error { return l.s.checkStored(etcd, want) })
	return all
}

// writerErrors returns the errors of writers that gave up. It waits until all writers have ended.
func (l *load) writerErrors() []error {
	l.running.Wait()
	var errs []error
	for _, w := range l.writers {
		if w.err != nil {
			errs = append(errs, w.err)
		}
	}
	return errs
}

// checkStored returns an error unless an etcd has exactly these Jobs. The map has the value of the
// count label by name.
func (s *scenario) checkStored(etcd *clientv3.Client, want map[string]string) error {
	jobs, err := s.storedJobs(etcd)
	if err != nil {
		return err
	}
	var wrong []string
	for name, job := range jobs {
		if count, expected := want[name]; !expected || job.Labels[countLabel] != count {
			wrong = append(wrong, fmt.Sprintf("%s with the label %q, want %q", name, job.Labels[countLabel], count))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 || len(jobs) != len(want) {
		return fmt.Errorf("%d Jobs are stored, want %d; wrong Jobs: %q", len(jobs), len(want), wrong)
	}
	return nil
}

// awaitNoOrphans waits until no Pod is left whose Job is gone.
func (s *scenario) awaitNoOrphans() {
	s.t.Helper()
	s.eventually("have no Pod without its Job", func() error {
		pods, err := s.Client.CoreV1().Pods(s.namespace).List(s.t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		jobs, err := s.Client.BatchV1().Jobs(s.namespace).List(s.t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		uids := map[types.UID]bool{}
		for _, job := range jobs.Items {
			uids[job.UID] = true
		}
		orphans := slices.DeleteFunc(slices.Clone(pods.Items), func(pod corev1.Pod) bool {
			owner := metav1.GetControllerOf(&pod)
			return owner != nil && uids[owner.UID]
		})
		if len(orphans) > 0 {
			pod := orphans[0]
			return fmt.Errorf("%d of %d Pods are orphans, among them %s: phase %s, deleted at %s, finalizers %q", len(orphans), len(pods.Items), pod.Name, pod.Status.Phase, pod.DeletionTimestamp, pod.Finalizers)
		}
		return nil
	})
}

// awaitProgress waits until the load has added Jobs to the member of the cluster's etcd at the URL.
func (s *scenario) awaitProgress(url string) {
	s.t.Helper()
	s.awaitProgressIn(openEtcd(s.t, nil, url), func() {})
}

// checkService waits until the load has added Jobs. The requests that it sends until then must not
// fail.
func (s *scenario) checkService() {
	s.t.Helper()
	s.awaitProgressIn(s.clusterEtcd(), func() {
		_, err := s.Client.BatchV1().Jobs(s.namespace).Create(s.t.Context(), framework.NewJob("dry-run"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			s.t.Fatalf("creating a Job as a dry run: %v", err)
		}
	})
}

// awaitProgressIn waits until the load has added Jobs to an etcd. It calls onPoll at each poll.
func (s *scenario) awaitProgressIn(etcd *clientv3.Client, onPoll func()) {
	s.t.Helper()
	before := int64(-1)
	s.eventually("have the load add Jobs", func() error {
		onPoll()
		ctx, cancel := context.WithTimeout(s.t.Context(), etcdTimeout)
		defer cancel()
		now, err := etcd.Get(ctx, s.etcdKey("jobs", ""), clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		if before < 0 {
			before = now.Count
		}
		if now.Count < before+minProgress {
			return fmt.Errorf("etcd had %d Jobs and has %d", before, now.Count)
		}
		return nil
	})
}
