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

// target returns the path of the Job that the nth request of a worker is about. Workers keep
// apart, so that none loses an update to another.
func (b *bench) target(worker, workers, n int) string {
	return jobsPath + "/" + jobName((worker+n*workers)%b.jobs)
}

// patch never repeats a value: a patch that changes nothing is not stored.
func (b *bench) patch() operation {
	return operation{name: "patch", stored: true, next: func(worker, workers, n int) request {
		return request{http.MethodPatch, b.target(worker, workers, n), string(types.MergePatchType), fmt.Appendf(nil, `{"spec": {"parallelism": %d}}`, 1+b.patched.Add(1)), http.StatusOK}
	}}
}

// grantedPatch is one that a JobUpdatePolicy must allow.
func (b *bench) grantedPatch() operation {
	return operation{name: "granted patch", stored: true, next: func(worker, workers, n int) request {
		return request{http.MethodPatch, b.target(worker, workers, n), string(types.MergePatchType), fmt.Appendf(nil, `{"metadata": {"annotations": {"at": "%d"}}}`, b.patched.Add(1)), http.StatusOK}
	}}
}

func (b *bench) operations() []operation {
	manifest, err := json.Marshal(newJob(""))
	if err != nil {
		panic(err) // a Job can be encoded
	}
	return []operation{
		b.patch(),
		{name: "refused patch", gatedOnly: true, next: func(worker, workers, n int) request {
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

// measurement is of an operation by so many clients of a user.
type measurement struct {
	operation
	clients int
	user    string
}

// steps are what an arm measures in one turn: of patches each by itself, so that there is little
// time between what is compared, and then all else together.
func (b *bench) steps() [][]measurement {
	var patches [][]measurement
	var others []measurement
	for _, op := range b.operations() {
		for _, user := range []string{"masters", limited} {
			if op.name == "patch" {
				patches = append(patches, []measurement{{op, 32, user}}, []measurement{{op, 4, user}}, []measurement{{op, 1, user}})
			} else {
				others = append(others, measurement{op, 32, user})
			}
		}
		if op.name == "get" || op.name == "refused patch" {
			others = append(others, measurement{op, 1, "masters"})
		}
	}
	return append(patches, others)
}

// requests measures each operation in each arm, the arms one after the other within each step
// of a round.
func (b *bench) requests(ctx context.Context, r *results) error {
	for round := range b.rounds {
		progress("requests, round %d of %d", round+1, b.rounds)
		if err := b.compareAndSwap(ctx, r); err != nil {
			return err
		}
		for _, step := range b.steps() {
			// Each round begins with another arm.
			for i := range arms {
				a := arms[(i+round)%len(arms)]
				asked := slices.DeleteFunc(slices.Clone(step), func(m measurement) bool {
					return m.gatedOnly && !a.gated || !b.only.MatchString(a.name+"/"+m.name)
				})
				if len(asked) == 0 {
					continue
				}
				if err := b.in(ctx, a, func() error { return b.requestsIn(ctx, a, asked, r) }); err != nil {
					return fmt.Errorf("%s: %w", a.name, err)
				}
			}
		}
	}
	return nil
}

func (b *bench) requestsIn(ctx context.Context, a *arm, measurements []measurement, r *results) error {
	for _, m := range measurements {
		b.settle(ctx)
		s, err := b.load(ctx, b.config(a, m.user), m.operation, m.clients)
		if err != nil {
			return err
		}
		r.add(cell{a.name, m.name, m.clients, m.user}, s)
		// Lists are not to be longer where more could be created.
		if err := b.deleteCreated(ctx); err != nil {
			return err
		}
	}
	return nil
}
