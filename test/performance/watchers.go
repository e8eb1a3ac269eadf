// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// received is the prefix of operations that count received events.
const received = "events to "

// watchers measures patches by the number of watches, and how many events the watches receive.
func (b *bench) watchers(ctx context.Context, r *results) error {
	for round := range b.rounds {
		for _, n := range b.plan.watchers {
			progress("%d watchers, round %d of %d", n, round+1, b.rounds)
			for i := range variants {
				v := variants[(i+round)%len(variants)]
				err := b.in(ctx, v, func() error { return b.watch(ctx, r, v, n) })
				if err != nil {
					return fmt.Errorf("%s: %w", v.name, err)
				}
			}
		}
	}
	return nil
}

func (b *bench) watch(ctx context.Context, r *results, v *variant, n int) error {
	config := b.config(v, "")
	version, err := b.latest(ctx, config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var events atomic.Int64
	watches, ended := errgroup.WithContext(ctx)
	defer func() {
		cancel()
		_ = watches.Wait()
	}()
	// Watch from the current version, as clients resume, so that existing Jobs cause no events.
	path := jobsPath + "?watch=true&resourceVersion=" + version
	err = times(n, func(int) error {
		c, err := newClient(config)
		if err != nil {
			return err
		}
		lines, err := c.watch(ctx, path)
		if err != nil {
			return err
		}
		watches.Go(func() error {
			defer c.http.CloseIdleConnections()
			defer lines.Close()
			return countEvents(lines, &events)
		})
		return nil
	})
	if err != nil {
		return err
	}
	b.settle(ctx)
	before, began := events.Load(), time.Now()
	s, err := b.load(ctx, config, b.patch(), 4)
	if err != nil {
		return err
	}
	// Some watches may lag.
	wanted := before + s.all*int64(n)
	for deadline := began.Add(2 * time.Minute); events.Load() < wanted; pause(ctx, 10*time.Millisecond) {
		if ended.Err() != nil {
			return fmt.Errorf("a watch ended: %w", context.Cause(ended))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the watches received %d events, want %d", events.Load()-before, wanted-before)
		}
	}
	perSecond := float64(events.Load()-before) / time.Since(began).Seconds()
	r.add(cell{v.name, "patch with " + count(n, "watcher", "watchers"), 4, admin}, s)
	r.add(cell{v.name, received + count(n, "watcher", "watchers"), 4, admin}, sample{PerSecond: perSecond})
	return nil
}

// latest returns the current resource version of the Jobs.
func (b *bench) latest(ctx context.Context, config *rest.Config) (string, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	jobs, err := client.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return "", err
	}
	return jobs.ResourceVersion, nil
}

// countEvents counts the events of a watch until the watch ends, and returns why.
func countEvents(watch io.Reader, events *atomic.Int64) error {
	lines := bufio.NewReaderSize(watch, 16<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		if bytes.HasPrefix(line, []byte(`{"type":"ERROR"`)) {
			return fmt.Errorf("%s", line)
		}
		if err == nil {
			events.Add(1)
		}
	}
}
