// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
)

// sample is what a slice has measured: the load of one arm for about a second.
type sample struct {
	// PerSecond counts requests. P50 and P99 are their latencies in milliseconds.
	PerSecond, P50, P99 float64
	// CPU has the milliseconds per request by process.
	CPU map[string]float64
}

// slice loads an arm for the duration of the plan.
func (b *bench) slice(ctx context.Context, a *arm, m measurement) (sample, error) {
	op := operationNamed(m.Operation)
	clients, err := a.connections(m.User, m.Clients)
	if err != nil {
		return sample{}, err
	}
	send := func(ctx context.Context, c *client, worker int) (time.Duration, error) {
		// The Jobs of two requests at the same time differ, so that updates do not conflict.
		job := jobName(int(a.requests.Add(1)) % b.jobs)
		began := time.Now()
		err := c.send(ctx, op.next(a, job, b.sent.Add(1)))
		return time.Since(began), err
	}
	if op.watched {
		watched, stop, err := watchJobs(ctx, a, m)
		if err != nil {
			return sample{}, err
		}
		defer stop()
		send = func(ctx context.Context, c *client, worker int) (time.Duration, error) {
			began := time.Now()
			if err := c.send(ctx, op.next(a, jobName(worker), b.sent.Add(1))); err != nil {
				return 0, err
			}
			seen, err := receive(ctx, watched[worker], jobName(worker))
			return seen.Sub(began), err
		}
	}
	return b.sliceOf(ctx, a, m, op, clients, send)
}

func (b *bench) sliceOf(parent context.Context, a *arm, m measurement, op operation, clients []*client, send func(context.Context, *client, int) (time.Duration, error)) (sample, error) {
	revision, err := a.plane.revision(parent)
	if err != nil {
		return sample{}, err
	}
	var tickets atomic.Int64
	latencies := make([][]time.Duration, len(clients))
	rates := make([]float64, len(clients))
	before, began := a.cpu(), time.Now()
	deadline := began.Add(b.duration)
	group, ctx := errgroup.WithContext(parent)
	for worker, c := range clients {
		group.Go(func() error {
			// After the deadline, clients wait for their last response. That must not count for the others.
			// At a fixed rate they end before it.
			defer func() {
				rates[worker] = float64(len(latencies[worker])) / max(time.Since(began), b.duration).Seconds()
			}()
			for {
				late := time.Duration(0)
				if m.Rate > 0 {
					due := began.Add(time.Duration(float64(tickets.Add(1)) / m.Rate * float64(time.Second)))
					if due.After(deadline) {
						return nil
					}
					pause(ctx, time.Until(due))
					late = time.Since(due)
				}
				// Continue if the machine is so busy that no request completed. At a fixed rate, send what was
				// due, however late it is: otherwise the slowest requests would not count.
				if done := len(latencies[worker]) > 0; ctx.Err() != nil || done && m.Rate == 0 && time.Now().After(deadline) {
					return ctx.Err()
				}
				took, err := send(ctx, c, worker)
				if err != nil {
					return fmt.Errorf("%s: %w", m, err)
				}
				latencies[worker] = append(latencies[worker], took+late)
			}
		})
	}
	if err := group.Wait(); err != nil {
		return sample{}, err
	}
	s, err := newSample(slices.Concat(latencies...), rates, before, a.cpu())
	if err != nil || !op.stored {
		return s, err
	}
	now, err := a.plane.revision(parent)
	if sent := len(slices.Concat(latencies...)); err == nil && now-revision < int64(sent) {
		err = fmt.Errorf("%s: %d requests completed, but etcd has only %d writes", m, sent, now-revision)
	}
	return s, err
}

// newSample sums up the requests per second of all clients.
func newSample(latencies []time.Duration, rates []float64, before, after map[string]time.Duration) (sample, error) {
	if len(latencies) == 0 {
		return sample{}, errors.New("no request completed")
	}
	slices.Sort(latencies)
	n := len(latencies)
	s := sample{P50: milliseconds(latencies[n/2]), P99: milliseconds(latencies[n*99/100]), CPU: map[string]float64{}}
	for _, rate := range rates {
		s.PerSecond += rate
	}
	for process, spent := range after {
		s.CPU[process] = milliseconds(spent-before[process]) / float64(n)
	}
	return s, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// watchJobs watches a Job for each client of the measurement. The channels receive the times of
// updates.
func watchJobs(ctx context.Context, a *arm, m measurement) ([]chan time.Time, func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	stop := func() {
		cancel()
		group.Wait()
	}
	watched := make([]chan time.Time, m.Clients)
	for i := range watched {
		c, err := newClient(a.plane.config(m.User, a.direct))
		if err != nil {
			stop()
			return nil, nil, err
		}
		events, err := c.watch(ctx, a.jobs()+"?watch=true&fieldSelector=metadata.name%3D"+jobName(i))
		if err != nil {
			stop()
			return nil, nil, err
		}
		seen := make(chan time.Time, 16)
		watched[i] = seen
		group.Go(func() {
			defer close(seen)
			defer c.http.CloseIdleConnections()
			defer events.Close()
			for lines := bufio.NewReader(events); ; {
				if _, err := lines.ReadBytes('\n'); err != nil {
					return
				}
				seen <- time.Now()
			}
		})
		// The first event is the Job as it is.
		if _, err := receive(ctx, seen, jobName(i)); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return watched, stop, nil
}

// receive returns the time of the next event of a Job.
func receive(ctx context.Context, events <-chan time.Time, job string) (time.Time, error) {
	select {
	case seen, open := <-events:
		if !open {
			return seen, fmt.Errorf("the watch of %s ended", job)
		}
		return seen, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	case <-time.After(time.Minute):
		return time.Time{}, fmt.Errorf("no event of %s for a minute", job)
	}
}

// watchAll holds n watches of all Jobs of the arm open until stop is called, which returns how many of them
// the server has ended before.
func watchAll(ctx context.Context, a *arm, user string, n int) (stop func() int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	var ended atomic.Int64
	stop = func() int {
		early := ended.Load()
		cancel()
		group.Wait()
		return int(early)
	}
	version, err := a.plane.latest(ctx, a.namespace)
	if err != nil {
		stop()
		return nil, err
	}
	err = times(n, func(int) error {
		c, err := newClient(a.plane.config(user, a.direct))
		if err != nil {
			return err
		}
		// From the current version, as clients resume, so that existing Jobs cause no events.
		events, err := c.watch(ctx, a.jobs()+"?watch=true&timeoutSeconds=3600&resourceVersion="+version)
		if err != nil {
			return err
		}
		group.Go(func() {
			defer c.http.CloseIdleConnections()
			defer events.Close()
			_, _ = io.Copy(io.Discard, events)
			ended.Add(1)
		})
		return nil
	})
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// client sends requests without client-go, whose decoding would distort the results.
type client struct {
	host string
	http *http.Client
}

// newClient returns a client with its own connection.
func newClient(config *rest.Config) (*client, error) {
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, DisableCompression: true}
	return &client{host: config.Host, http: &http.Client{Transport: transport}}, nil
}

func (c *client) send(ctx context.Context, r request) error {
	req, err := http.NewRequestWithContext(ctx, r.method, c.host+r.path, bytes.NewReader(r.body))
	if err != nil {
		return err
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	// As client-go does. Without it, kube-apiserver asks Batchgate for compressed responses anyway.
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == r.code {
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
	return fmt.Errorf("%s %s: the status is %d, want %d: %s", r.method, r.path, resp.StatusCode, r.code, text)
}

// watch opens a watch and returns its events.
func (c *client) watch(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.host+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return nil, fmt.Errorf("GET %s: the status is %d: %s", path, resp.StatusCode, text)
	}
	return resp.Body, nil
}
