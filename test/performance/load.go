// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// sample is the result of one measurement.
type sample struct {
	// PerSecond counts requests. P50 and P99 are their latencies in milliseconds.
	PerSecond, P50, P99 float64
	// CPU has the milliseconds per request by process.
	CPU map[string]float64
	// all counts all completed requests, including the warm-up.
	all int64
}

// request is what a worker sends, with the status code that it expects.
type request struct {
	method, path, contentType string
	body                      []byte
	code                      int
}

// operation is a kind of request to measure.
type operation struct {
	name string
	// next returns the nth request of a worker.
	next func(worker, workers, n int) request
	// stored is set if each request must write to etcd.
	stored bool
	// gatedOnly is set if only gated variants return the expected status.
	gatedOnly bool
}

// load sends the requests of an operation. Each worker has its own connection and sends one request
// at a time. load measures for the duration of the plan after the warm-up.
func (b *bench) load(parent context.Context, config *rest.Config, op operation, workers int) (sample, error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	var measuring atomic.Bool
	var all, completed atomic.Int64
	revision, err := b.revision(ctx)
	if err != nil {
		return sample{}, err
	}
	latencies := make([][]time.Duration, workers)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for worker := range workers {
		client, err := newClient(config)
		if err != nil {
			return sample{}, err
		}
		wg.Go(func() {
			defer client.http.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				began := time.Now()
				if err := client.send(ctx, op.next(worker, workers, n)); err != nil {
					if ctx.Err() == nil {
						errs[worker] = err
						cancel()
					}
					return
				}
				all.Add(1)
				if measuring.Load() {
					latencies[worker] = append(latencies[worker], time.Since(began))
					completed.Add(1)
				}
			}
		})
	}
	pause(ctx, b.warmUp)
	before, began := b.cpu(), time.Now()
	measuring.Store(true)
	// Continue if the machine is so busy that no request completed.
	for pause(ctx, b.duration); completed.Load() == 0 && ctx.Err() == nil; {
		pause(ctx, b.duration)
	}
	measuring.Store(false)
	took, after := time.Since(began), b.cpu()
	cancel()
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return sample{}, fmt.Errorf("%s: %w", op.name, err)
		}
	}
	now, err := b.revision(parent)
	if err != nil {
		return sample{}, err
	}
	if written := now - revision; op.stored && written < all.Load() {
		return sample{}, fmt.Errorf("%s: %d requests completed, but etcd has only %d writes", op.name, all.Load(), written)
	}
	s, err := newSample(slices.Concat(latencies...), took, before, after)
	s.all = all.Load()
	return s, err
}

// revision returns the revision of etcd, which counts its writes.
func (b *bench) revision(ctx context.Context) (int64, error) {
	status, err := b.etcd.Status(ctx, b.cluster.EtcdURL())
	if err != nil {
		return 0, err
	}
	return status.Header.Revision, nil
}

func newSample(latencies []time.Duration, took time.Duration, before, after map[string]time.Duration) (sample, error) {
	if len(latencies) == 0 {
		return sample{}, fmt.Errorf("no request completed within %s", took)
	}
	slices.Sort(latencies)
	n := len(latencies)
	s := sample{
		PerSecond: float64(n) / took.Seconds(),
		P50:       milliseconds(latencies[n/2]),
		P99:       milliseconds(latencies[n*99/100]),
		CPU:       map[string]float64{},
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
