// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
)

// memoryServer is a Server that has metrics and numbers of objects.
type memoryServer struct {
	Server
	metrics        string
	metricsErr     error
	jobs, cronJobs int
	listErr        error
	// garbage, if set, is what metrics return until a garbage collection.
	garbage *string
}

func (s memoryServer) Read(_ context.Context, path string, opts ReadOptions) ([]byte, error) {
	count := s.jobs
	switch path {
	case "/debug/pprof/heap":
		if s.garbage != nil && opts.Query.Get("gc") == "1" {
			*s.garbage = ""
		}
		return nil, errors.New("ignored")
	case "/metrics":
		if s.garbage != nil && *s.garbage != "" {
			return []byte(*s.garbage), nil
		}
		return []byte(s.metrics), s.metricsErr
	case BatchPath("cronjobs"):
		count = s.cronJobs
	}
	if count == 0 || s.listErr != nil {
		return []byte(`{"items": []}`), s.listErr
	}
	return fmt.Appendf(nil, `{"metadata": {"remainingItemCount": %d}, "items": [{}]}`, count-1), nil
}

func TestCheckMemory(t *testing.T) {
	const (
		unlimited = "go_gc_gomemlimit_bytes 9.223372036854776e+18\n"
		limited   = "# TYPE go_gc_gomemlimit_bytes gauge\ngo_gc_gomemlimit_bytes 8.58993459e+08\n"
		small     = "go_gc_heap_live_bytes 5.24288e+07\n"
		large     = "go_gc_heap_live_bytes 6.29145600e+08\n"
	)
	notFound := memoryServer{listErr: apierrors.NewNotFound(schema.GroupResource{}, "")}
	unavailable := memoryServer{listErr: apierrors.NewServiceUnavailable("no endpoint")}
	for name, tc := range map[string]struct {
		kube, batchgate memoryServer
		detail, fail    string
	}{
		"few Jobs":             {memoryServer{jobs: 8, cronJobs: 4}, memoryServer{metrics: limited + small, jobs: 8, cronJobs: 4}, "about 61Mi for 12 Jobs and CronJobs, of the 820Mi that the server may use", ""},
		"many Jobs":            {memoryServer{}, memoryServer{metrics: limited + small, jobs: 40_000}, "about 381Mi for 40000 Jobs and CronJobs, of the 820Mi that the server may use", ""},
		"too many Jobs":        {memoryServer{}, memoryServer{metrics: limited + small, jobs: 100_000}, "", "the server needs about 862Mi for 100000 Jobs and CronJobs and may use 820Mi, and a list of all Jobs needs as much again: set the memory limit of the container to 2153Mi or more"},
		"too many to import":   {memoryServer{cronJobs: 100_000}, memoryServer{metrics: limited + small}, "", "the server needs about 862Mi for 100000 Jobs and CronJobs and may use 820Mi, and a list of all Jobs needs as much again: set the memory limit of the container to 2153Mi or more"},
		"large Jobs":           {memoryServer{}, memoryServer{metrics: limited + large, jobs: 12}, "", "the server needs about 600Mi for 12 Jobs and CronJobs and may use 820Mi, and a list of all Jobs needs as much again: set the memory limit of the container to 1500Mi or more"},
		"garbage of the start": {memoryServer{}, memoryServer{metrics: limited + small, jobs: 12, garbage: ptr.To(limited + large)}, "about 61Mi for 12 Jobs and CronJobs, of the 820Mi that the server may use", ""},
		"no limit":             {memoryServer{}, memoryServer{metrics: unlimited + large}, "about 600Mi for 0 Jobs and CronJobs, without a limit", ""},
		"no native batch":      {notFound, memoryServer{metrics: limited + small, jobs: 12}, "about 61Mi for 12 Jobs and CronJobs, of the 820Mi that the server may use", ""},
		"Service without Pods": {unavailable, memoryServer{metrics: limited + small, jobs: 12}, "about 61Mi for 12 Jobs and CronJobs, of the 820Mi that the server may use", ""},
		"failed list":          {memoryServer{listErr: errors.New("broken")}, memoryServer{metrics: limited + small}, "", "listing " + BatchPath("jobs") + ": broken"},
		"no metrics":           {memoryServer{}, memoryServer{metrics: "up 1\n"}, "not checked, since the server does not publish its memory limit", ""},
		"invalid value":        {memoryServer{}, memoryServer{metrics: "go_gc_gomemlimit_bytes x\n" + small}, "not checked, since the server does not publish its memory limit", ""},
		"forbidden metrics":    {memoryServer{}, memoryServer{metricsErr: errors.New("forbidden")}, "not checked, since the metrics could not be read: forbidden", ""},
	} {
		detail, err := CheckMemory(t.Context(), tc.kube, tc.batchgate)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if detail != tc.detail || got != tc.fail {
			t.Errorf("%s: got %q, error %q; want %q, error %q", name, detail, got, tc.detail, tc.fail)
		}
	}
}
