// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/framework"
)

// scrapeInterval is the time between two scrapes of a server.
const scrapeInterval = 5 * time.Second

// target is a server to scrape, with the labels that Prometheus would add.
type target struct {
	labels map[string]string
	config *rest.Config
	// queries are the queries that use its metrics.
	queries string
}

// record scrapes all servers while traffic goes through them.
func record(ctx context.Context, cluster *framework.Cluster, dashboard *framework.Dashboard, duration time.Duration) ([]framework.Scrape, error) {
	queries := map[bool]string{} // by whether they are for Batchgate
	for _, panel := range dashboard.Panels {
		for _, query := range panel.Queries("1m") {
			queries[strings.Contains(query, framework.Name)] += query + "\n"
		}
	}
	targets := []target{{map[string]string{"job": "apiserver", "instance": "192.0.2.1:6443"}, cluster.Config, queries[false]}}
	for i, replica := range cluster.Replicas {
		labels := map[string]string{"job": framework.Name, "instance": fmt.Sprintf("10.0.0.%d:8443", i+1)}
		targets = append(targets, target{labels, cluster.ReplicaConfig(replica), queries[true]})
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	traffic, err := newTraffic(ctx, cluster)
	if err != nil {
		return nil, err
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return traffic.run(running) })

	var scrapes []framework.Scrape
	fmt.Fprintln(os.Stderr, "recording for", duration)
	ticker := time.NewTicker(scrapeInterval)
	defer ticker.Stop()
	for began := time.Now(); time.Since(began) < duration; {
		for _, t := range targets {
			client, err := kubernetes.NewForConfig(t.config)
			if err != nil {
				return nil, err
			}
			now := float64(time.Now().UnixMilli()) / 1000
			text, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").Do(ctx).Raw()
			if err != nil {
				return nil, err
			}
			scrapes = append(scrapes, framework.Scrape{Labels: t.labels, Time: now, Text: onlyQueried(string(text), t.queries)})
		}
		select {
		case <-ticker.C:
		case <-running.Done():
			return nil, group.Wait()
		}
	}
	cancel()
	return scrapes, group.Wait()
}

// onlyQueried removes the metrics that no query names, which are most of them.
func onlyQueried(text, queries string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		name := line[:max(strings.IndexAny(line, "{ "), 0)]
		if name != "" && name != "#" && strings.Contains(queries, name) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
