// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	defaultQPS = 20 // of kube-controller-manager
	raisedQPS  = 200
)

// completion is a run of Jobs by the real controllers.
type completion struct {
	Arm  string
	Jobs int
	QPS  float64
	// Seconds is the time from the first create until all Jobs are complete. P50 is the median time
	// from the create of a Job until it is complete.
	Seconds, P50 float64
}

// completion measures what users of Jobs feel: Jobs of one Pod each, run by kube-controller-manager,
// kube-scheduler and a fake kubelet. With the default QPS the controllers' limit determines the time,
// so both planes run at the same time. With a raised one the planes take turns.
func (b *bench) completion(ctx context.Context, r *results) error {
	for _, qps := range []float64{defaultQPS, raisedQPS} {
		if err := b.completionAt(ctx, r, qps); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) completionAt(ctx context.Context, r *results, qps float64) (err error) {
	binaries := b.binaries
	if binaries.Batchgate, err = b.limited(binaries.Batchgate); err != nil {
		return err
	}
	options := framework.ClusterOptions{ControllerManagerArgs: []string{fmt.Sprint("--kube-api-qps=", qps), fmt.Sprint("--kube-api-burst=", qps*1.5)}}
	var planes []*plane
	defer func() {
		for _, p := range planes {
			err = errors.Join(err, p.stop())
		}
	}()
	for _, gated := range []bool{false, true} {
		p, err := startPlane(ctx, b.dir, fmt.Sprintf("completion-%g-%t", qps, gated), binaries, gated, options)
		if p != nil {
			planes = append(planes, p)
		}
		if err != nil {
			return err
		}
	}
	for round := range b.completionRounds {
		progress("%s to completion, QPS %g, round %d of %d", count(b.completionJobs, "Job", "Jobs"), qps, round+1, b.completionRounds)
		order := slices.Clone(planes)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		results := make([]completion, len(order))
		errs := make([]error, len(order))
		var group sync.WaitGroup
		for i, p := range order {
			group.Go(func() { results[i], errs[i] = p.complete(ctx, b.completionJobs, round, qps) })
			if qps > defaultQPS {
				group.Wait()
			}
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		r.Completions = append(r.Completions, results...)
	}
	return nil
}

// complete creates Jobs in a new namespace and waits until they are complete.
func (p *plane) complete(ctx context.Context, n, round int, qps float64) (completion, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	c := completion{Arm: native, Jobs: n, QPS: qps}
	if p.gated {
		c.Arm = aggregated
	}
	namespace := fmt.Sprint("completion-", round)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := p.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return c, err
	}
	watch, err := p.Client.BatchV1().Jobs(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return c, err
	}
	defer watch.Stop()
	created := make([]time.Time, n)
	began := time.Now()
	creates := make(chan error, 1)
	go func() {
		creates <- times(n, func(i int) error {
			job := newJob(jobName(i))
			job.Spec.Template.Spec.ServiceAccountName = ""
			created[i] = time.Now()
			_, err := p.Client.BatchV1().Jobs(namespace).Create(ctx, job, metav1.CreateOptions{})
			return err
		})
	}()
	finished := map[string]time.Time{}
	for len(finished) < n {
		select {
		case event, open := <-watch.ResultChan():
			job, ok := event.Object.(*batchv1.Job)
			if !open || !ok {
				return c, fmt.Errorf("the watch of Jobs ended after %d of %d: %v", len(finished), n, event.Object)
			}
			for _, condition := range job.Status.Conditions {
				if condition.Type == batchv1.JobComplete && condition.Status == corev1.ConditionTrue && finished[job.Name].IsZero() {
					finished[job.Name] = time.Now()
				}
			}
		case <-ctx.Done():
			return c, fmt.Errorf("%d of %d Jobs are complete: %w", len(finished), n, ctx.Err())
		}
	}
	c.Seconds = time.Since(began).Seconds()
	if err := <-creates; err != nil {
		return c, err
	}
	var took []float64
	for i := range n {
		took = append(took, finished[jobName(i)].Sub(created[i]).Seconds())
	}
	c.P50 = newSpread(took).Value
	return c, nil
}

// completionRatio divides the time of the gated plane by the time of the native one, round by round.
func (r *results) completionRatio(qps float64) spread {
	var gated, alone, ratios []float64
	for _, c := range r.Completions {
		switch {
		case c.QPS != qps:
		case c.Arm == aggregated:
			gated = append(gated, c.Seconds)
		default:
			alone = append(alone, c.Seconds)
		}
	}
	for i := range min(len(gated), len(alone)) {
		ratios = append(ratios, gated[i]/alone[i])
	}
	return newSpread(ratios)
}
