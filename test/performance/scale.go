// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/framework"
)

// size describes a server with a number of Jobs.
type size struct {
	Server string
	Jobs   int
	// Ready is the time from the start to readiness, List the time to list all Jobs as JSON, and
	// Watch the time until a new watch has sent all Jobs. All are in seconds.
	Ready, List, Watch float64
	// Resident is the memory after readiness in MiB.
	Resident float64
}

// scale measures starts, lists, watches and memory by the number of Jobs. It restarts both servers
// for each measurement. It deletes the Jobs of the other parts.
func (b *bench) scale(ctx context.Context, r *results) error {
	template, err := b.cluster.Client.BatchV1().Jobs(namespace).Get(ctx, jobName(0), metav1.GetOptions{})
	if err != nil {
		return err
	}
	template.SelfLink = ""
	if _, err := b.etcd.Delete(ctx, jobsKey, clientv3.WithPrefix()); err != nil {
		return err
	}
	at := 0
	for _, n := range b.plan.scale {
		progress("storing %d Jobs", n)
		if err := b.store(ctx, template, at, n); err != nil {
			return err
		}
		at = n
		for round := range b.rounds {
			progress("%d Jobs, round %d of %d", n, round+1, b.rounds)
			if err := b.restart(ctx, r, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) restart(ctx context.Context, r *results, jobs int) error {
	c := b.cluster
	for _, p := range []*framework.Process{c.Batchgate, c.APIServer} {
		if err := p.Stop(); err != nil {
			return err
		}
	}
	for _, server := range []struct {
		name    string
		process *framework.Process
		config  *rest.Config
	}{
		{native.name, c.APIServer, c.Config},
		{direct.name, c.Batchgate, c.DirectConfig()},
	} {
		b.settle(ctx)
		s := size{Server: server.name, Jobs: jobs}
		began := time.Now()
		if err := server.process.Start(); err != nil {
			return err
		}
		err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
			// A client does not retry a failed connection.
			probe, err := newClient(server.config)
			if err != nil {
				return false, err
			}
			defer probe.http.CloseIdleConnections()
			return probe.send(ctx, request{method: http.MethodGet, path: "/readyz", code: http.StatusOK}) == nil, nil
		})
		if err != nil {
			return fmt.Errorf("starting %s: %w", server.name, err)
		}
		s.Ready = time.Since(began).Seconds()
		pause(ctx, 3*time.Second)
		s.Resident = resident(server.process.PID())
		probe, err := newClient(server.config)
		if err != nil {
			return err
		}
		began = time.Now()
		if err := probe.send(ctx, request{method: http.MethodGet, path: jobsPath + "?resourceVersion=0", code: http.StatusOK}); err != nil {
			return err
		}
		s.List = time.Since(began).Seconds()
		if s.Watch, err = watchAll(ctx, probe, jobs); err != nil {
			return err
		}
		r.Sizes = append(r.Sizes, s)
	}
	return nil
}

// watchAll returns the seconds until a watch has sent all Jobs.
func watchAll(ctx context.Context, c *client, jobs int) (float64, error) {
	began := time.Now()
	events, err := c.watch(ctx, jobsPath+"?watch=true&resourceVersion=0")
	if err != nil {
		return 0, err
	}
	defer events.Close()
	buffer := make([]byte, 64<<10)
	for seen := 0; seen < jobs; {
		n, err := events.Read(buffer)
		for _, c := range buffer[:n] {
			if c == '\n' {
				seen++
			}
		}
		if err == io.EOF {
			return 0, fmt.Errorf("the watch ended after %d of %d events", seen, jobs)
		}
		if err != nil {
			return 0, err
		}
	}
	return time.Since(began).Seconds(), nil
}
