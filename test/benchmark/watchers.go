package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// watchers measures what patches cost with so many watches, and how many events those receive.
func (b *bench) watchers(ctx context.Context, r *results) error {
	for round := range b.rounds {
		for _, n := range b.plan.watchers {
			progress("%d watchers, round %d of %d", n, round+1, b.rounds)
			for _, a := range []*arm{native, direct, aggregated} {
				err := b.in(ctx, a, func() error { return b.watch(ctx, r, a, n) })
				if err != nil {
					return fmt.Errorf("%s: %w", a.name, err)
				}
			}
		}
	}
	return nil
}

func (b *bench) watch(ctx context.Context, r *results, a *arm, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	config := b.config(a, "")
	var events atomic.Int64
	var open, all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	errs := make(chan error, n)
	for range n {
		c, err := newClient(config)
		if err != nil {
			return err
		}
		open.Add(1)
		all.Go(func() {
			defer c.http.CloseIdleConnections()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.host+jobsPath+"?watch=true", nil)
			if err != nil {
				errs <- err
				open.Done()
				return
			}
			answer, err := c.http.Do(req)
			open.Done()
			if err != nil {
				errs <- err
				return
			}
			defer answer.Body.Close()
			lines := bufio.NewReaderSize(answer.Body, 16<<10)
			for {
				if _, err := lines.ReadSlice('\n'); err == bufio.ErrBufferFull {
					continue
				} else if err != nil {
					return
				}
				events.Add(1)
			}
		})
	}
	open.Wait()
	// The events of all Jobs that are there come first.
	for last := int64(-1); last != events.Load(); pause(ctx, 500*time.Millisecond) {
		last = events.Load()
	}
	select {
	case err := <-errs:
		return err
	default:
	}
	before, began := events.Load(), time.Now()
	s, err := b.load(ctx, config, b.patch(), 4)
	if err != nil {
		return err
	}
	received := float64(events.Load()-before) / time.Since(began).Seconds()
	r.add(cell{a.name, fmt.Sprintf("patch with %d watchers", n), 4, "masters"}, s)
	r.add(cell{a.name, fmt.Sprintf("events to %d watchers", n), 4, "masters"}, sample{PerSecond: received})
	return nil
}
