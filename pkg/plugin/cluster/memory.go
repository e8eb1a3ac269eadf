// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// Metrics of the Go runtime.
var (
	memoryLimit = regexp.MustCompile(`(?m)^go_gc_gomemlimit_bytes (\S+)$`)
	liveHeap    = regexp.MustCompile(`(?m)^go_gc_heap_live_bytes (\S+)$`)
)

const (
	// objectMemory is the live memory of a cached Job of ordinary size in bytes: with 10,000 Jobs the
	// live heap has 95 MiB, and with 50,000 it has 413 MiB.
	objectMemory = 8400
	// emptyMemory is the memory without Jobs in bytes: 16 MiB of live heap, and room for requests.
	emptyMemory = 60 << 20
)

// CheckMemory returns an error if the caches of Batchgate would leave no room for large lists, which need
// as much memory again. It estimates the caches by the number of Jobs and CronJobs, and by the live heap of
// the server at its last garbage collection, which it starts if the server has profiling enabled. The
// limit is a metric of the server.
func CheckMemory(ctx context.Context, kube, batchgate Server) (string, error) {
	collectGarbage(ctx, batchgate)
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	content, err := batchgate.Read(ctx, "/metrics", ReadOptions{Accept: "text/plain"})
	if err != nil {
		return fmt.Sprintf("not checked, since the metrics could not be read: %v", err), nil
	}
	limit, live := metric(content, memoryLimit), metric(content, liveHeap)
	if math.IsNaN(limit) || math.IsNaN(live) {
		return "not checked, since the server does not publish its memory limit", nil
	}
	// Batchgate has the objects already, except before an import.
	objects, err := countObjects(ctx, batchgate)
	if err != nil {
		return "", err
	}
	switch stored, err := countObjects(ctx, kube); {
	case apierrors.IsNotFound(err), apierrors.IsServiceUnavailable(err):
		// kube-apiserver has no batch/v1 of its own.
	case err != nil:
		return "", err
	default:
		objects = max(objects, stored)
	}
	caches := max(live, emptyMemory+float64(objects)*objectMemory)
	detail := fmt.Sprintf("about %s for %d Jobs and CronJobs", mebibytes(caches), objects)
	switch {
	case limit >= math.MaxInt64:
		return detail + ", without a limit", nil
	case 2*caches > limit:
		return "", fmt.Errorf("the server needs %s and may use %s, and a list of all Jobs needs as much again: set the memory limit of the container to %s or more",
			detail, mebibytes(limit), mebibytes(2*caches/policy.MemoryLimitShare))
	}
	return fmt.Sprintf("%s, of the %s that the server may use", detail, mebibytes(limit)), nil
}

// collectGarbage starts a garbage collection by reading a heap profile, so that the first lists of a server
// that has just started do not count. It ignores errors: the server may have profiling disabled.
func collectGarbage(ctx context.Context, s Server) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout/3)
	defer cancel()
	_, _ = s.Read(ctx, "/debug/pprof/heap", ReadOptions{Query: url.Values{"gc": {"1"}}})
}

// countObjects returns the number of Jobs and CronJobs.
func countObjects(ctx context.Context, s Server) (int64, error) {
	total := int64(0)
	for _, resource := range BatchResources {
		list, err := listMetadata(ctx, s, BatchPath(resource), url.Values{"limit": {"1"}})
		if err != nil {
			return 0, err
		}
		total += int64(len(list.Items)) + ptr.Deref(list.RemainingItemCount, 0)
	}
	return total, nil
}

// metric returns the value of a metric, or NaN if it is missing.
func metric(content []byte, pattern *regexp.Regexp) float64 {
	match := pattern.FindSubmatch(content)
	if match == nil {
		return math.NaN()
	}
	value, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		return math.NaN()
	}
	return value
}

func mebibytes(bytes float64) string { return fmt.Sprintf("%.0fMi", math.Ceil(bytes/(1<<20))) }
