// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

const jobsPath = "/apis/batch/v1/namespaces/" + namespace + "/jobs"

// target returns the path of the Job for the nth request of a worker. Workers use different Jobs, so
// that their updates do not conflict.
func (b *bench) target(worker, workers, n int) string {
	return jobsPath + "/" + jobName((worker+n*workers)%b.jobs)
}

// patch changes parallelism to a new value each time. A patch that changes nothing is not stored.
func (b *bench) patch() operation {
	return operation{name: "patch", stored: true, next: func(worker, workers, n int) request {
		return request{http.MethodPatch, b.target(worker, workers, n), string(types.MergePatchType), fmt.Appendf(nil, `{"spec": {"parallelism": %d}}`, 1+b.patched.Add(1)), http.StatusOK}
	}}
}

// grantedPatch needs a JobUpdatePolicy that grants it.
func (b *bench) grantedPatch() operation {
	return operation{name: "granted patch", stored: true, next: func(worker, workers, n int) request {
		return request{http.MethodPatch, b.target(worker, workers, n), string(types.MergePatchType), fmt.Appendf(nil, `{"metadata": {"annotations": {"at": "%d"}}}`, b.patched.Add(1)), http.StatusOK}
	}}
}

func (b *bench) operations() []operation {
	manifest, err := json.Marshal(newJob(""))
	if err != nil {
		panic(err) // a Job can always be encoded
	}
	return []operation{
		b.patch(),
		{name: "denied patch", gatedOnly: true, next: func(worker, workers, n int) request {
			return request{http.MethodPatch, b.target(worker, workers, n), string(types.MergePatchType), fmt.Appendf(nil, `{"metadata": {"annotations": {"at": "%d"}}}`, n), http.StatusUnprocessableEntity}
		}},
		{name: "create", stored: true, next: func(int, int, int) request {
			body := slices.Concat([]byte(`{"metadata": {"name": "`), fmt.Appendf(nil, "new-%d", b.created.Add(1)), []byte(`",`), manifest[len(`{"metadata":{`):])
			return request{http.MethodPost, jobsPath, "application/json", body, http.StatusCreated}
		}},
		{name: "get", next: func(worker, workers, n int) request {
			return request{method: http.MethodGet, path: b.target(worker, workers, n), code: http.StatusOK}
		}},
		{name: "list of 100", next: func(int, int, int) request {
			return request{method: http.MethodGet, path: jobsPath + "?limit=100&labelSelector=app%3Dreport", code: http.StatusOK}
		}},
	}
}

// measurement is an operation with a number of clients of a user.
type measurement struct {
	operation
	clients int
	user    string
}

// steps returns the measurements that a variant takes in one turn. Each measurement of patches is
// a step, so that little time passes between those that are compared. All others are one step.
func (b *bench) steps() [][]measurement {
	var patches [][]measurement
	var others []measurement
	for _, op := range b.operations() {
		for _, user := range []string{admin, withRole} {
			if op.name == "patch" {
				patches = append(patches, []measurement{{op, 32, user}}, []measurement{{op, 4, user}}, []measurement{{op, 1, user}})
			} else {
				others = append(others, measurement{op, 32, user})
			}
		}
		if op.name == "get" || op.name == "denied patch" {
			others = append(others, measurement{op, 1, admin})
		}
	}
	return append(patches, others)
}

// requests measures each operation with each variant. The variants take turns within each step of a
// round.
func (b *bench) requests(ctx context.Context, r *results) error {
	for round := range b.rounds {
		progress("requests, round %d of %d", round+1, b.rounds)
		if err := b.compareAndSwap(ctx, r); err != nil {
			return err
		}
		for _, step := range b.steps() {
			// Each round begins with another variant.
			for i := range variants {
				v := variants[(i+round)%len(variants)]
				selected := slices.DeleteFunc(slices.Clone(step), func(m measurement) bool {
					return m.gatedOnly && !v.gated || !b.only.MatchString(v.name+"/"+m.name)
				})
				if len(selected) == 0 {
					continue
				}
				if err := b.in(ctx, v, func() error { return b.requestsIn(ctx, v, selected, r) }); err != nil {
					return fmt.Errorf("%s: %w", v.name, err)
				}
			}
		}
	}
	return nil
}

func (b *bench) requestsIn(ctx context.Context, v *variant, measurements []measurement, r *results) error {
	for _, m := range measurements {
		b.settle(ctx)
		s, err := b.load(ctx, b.config(v, m.user), m.operation, m.clients)
		if err != nil {
			return err
		}
		r.add(cell{v.name, m.name, m.clients, m.user}, s)
		// A variant that creates more Jobs must not get longer lists.
		if err := b.deleteCreated(ctx); err != nil {
			return err
		}
	}
	return nil
}
