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

// sample is what one measurement has found.
type sample struct {
	// PerSecond are requests, P50 and P99 their latency in milliseconds.
	PerSecond, P50, P99 float64
	// CPU is by process: milliseconds for each request.
	CPU map[string]float64
	// all are the requests that were answered, with those that are not measured.
	all int64
}

// request is what a worker sends, and the code of the answer that it expects.
type request struct {
	method, path, contentType string
	body                      []byte
	code                      int
}

// operation is what is measured: the nth request of a worker, of so many.
type operation struct {
	name string
	next func(worker, workers, n int) request
	// stored is set where each request must write to etcd.
	stored bool
	// gatedOnly is set where only those that refuse something can answer as expected.
	gatedOnly bool
}

// load sends the requests of an operation, each worker one after the other on a connection of
// its own, and measures for the duration of the plan once it has warmed up.
func (b *bench) load(parent context.Context, config *rest.Config, op operation, workers int) (sample, error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	var measuring atomic.Bool
	var all, answered atomic.Int64
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
					answered.Add(1)
				}
			}
		})
	}
	pause(ctx, b.warmUp)
	before, began := b.cpu(), time.Now()
	measuring.Store(true)
	// Longer on a machine that is so busy that nothing was answered.
	for pause(ctx, b.duration); answered.Load() == 0 && ctx.Err() == nil; {
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
		return sample{}, fmt.Errorf("%s: %d requests were answered, and etcd was written to %d times", op.name, all.Load(), written)
	}
	s, err := newSample(slices.Concat(latencies...), took, before, after)
	s.all = all.Load()
	return s, err
}

// revision returns that of etcd: how often something was written.
func (b *bench) revision(ctx context.Context) (int64, error) {
	status, err := b.etcd.Status(ctx, b.cluster.EtcdURL())
	if err != nil {
		return 0, err
	}
	return status.Header.Revision, nil
}

func newSample(latencies []time.Duration, took time.Duration, before, after map[string]time.Duration) (sample, error) {
	if len(latencies) == 0 {
		return sample{}, fmt.Errorf("no request was answered within %s", took)
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

// client sends requests past client-go, whose decoding would be measured too.
type client struct {
	host string
	http *http.Client
}

// newClient returns a client with a connection that it shares with nobody.
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
	answer, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == r.code {
		_, err := io.Copy(io.Discard, answer.Body)
		return err
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 500))
	return fmt.Errorf("%s %s: the answer is %d, not %d: %s", r.method, r.path, answer.StatusCode, r.code, text)
}

// watch returns the events of a watch once it is open.
func (c *client) watch(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.host+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 500))
		return nil, fmt.Errorf("GET %s: the answer is %d: %s", path, answer.StatusCode, text)
	}
	return answer.Body, nil
}
