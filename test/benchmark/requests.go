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

// requests measures each operation in each arm, for one client and for many, the arms one after
// the other within a round: first the patches, and then what else there is, so that there is
// little time between what is compared.
func (b *bench) requests(ctx context.Context, r *results) error {
	for round := range b.rounds {
		progress("requests, round %d of %d", round+1, b.rounds)
		if err := b.compareAndSwap(ctx, r); err != nil {
			return err
		}
		// Each round begins with another arm.
		operations := b.operations()
		for _, operations := range [][]operation{operations[:1], operations[1:]} {
			for i := range arms {
				a := arms[(i+round)%len(arms)]
				asked := func(op operation) bool {
					return (a.gated || !op.gatedOnly) && b.only.MatchString(a.name+"/"+op.name)
				}
				if !slices.ContainsFunc(operations, asked) {
					continue
				}
				err := b.in(ctx, a, func() error {
					return b.requestsIn(ctx, a, slices.DeleteFunc(slices.Clone(operations), func(op operation) bool { return !asked(op) }), r)
				})
				if err != nil {
					return fmt.Errorf("%s: %w", a.name, err)
				}
			}
		}
	}
	return nil
}

func (b *bench) requestsIn(ctx context.Context, a *arm, operations []operation, r *results) error {
	for _, op := range operations {
		cells := []cell{{a.name, op.name, 32, "masters"}}
		switch op.name {
		case "patch":
			cells = append(cells, cell{a.name, op.name, 1, "masters"}, cell{a.name, op.name, 4, "masters"}, cell{a.name, op.name, 1, limited}, cell{a.name, op.name, 32, limited})
		case "get", "refused patch":
			cells = append(cells, cell{a.name, op.name, 1, "masters"}, cell{a.name, op.name, 32, limited})
		}
		for _, c := range cells {
			b.settle(ctx)
			s, err := b.load(ctx, b.config(a, c.User), op, c.Clients)
			if err != nil {
				return err
			}
			r.add(c, s)
		}
		// Lists are not to be longer where more could be created.
		if err := b.deleteCreated(ctx); err != nil {
			return err
		}
	}
	return nil
}
