// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
)

// allUpdatableFieldsChanged is the name of the allowed change that updates every updatable field.
const allUpdatableFieldsChanged = "all updatable fields changed"

// allowedChanges are JSON Patches that every user may send, with their effect.
var allowedChanges = map[string]struct {
	patch string
	want  func(*batchv1.Job)
}{
	"label added": {
		`[{"op":"add","path":"/metadata/labels/new","value":"one"}]`,
		func(job *batchv1.Job) { job.Labels["new"] = "one" },
	},
	"label changed": {
		`[{"op":"replace","path":"/metadata/labels/team","value":"green"}]`,
		func(job *batchv1.Job) { job.Labels["team"] = "green" },
	},
	"label removed": {
		`[{"op":"remove","path":"/metadata/labels/team"}]`,
		func(job *batchv1.Job) { delete(job.Labels, "team") },
	},
	"parallelism changed": {
		`[{"op":"replace","path":"/spec/parallelism","value":2}]`,
		func(job *batchv1.Job) { *job.Spec.Parallelism = 2 },
	},
	"parallelism set to zero": {
		`[{"op":"replace","path":"/spec/parallelism","value":0}]`,
		func(job *batchv1.Job) { *job.Spec.Parallelism = 0 },
	},
	"completions raised": {
		`[{"op":"replace","path":"/spec/completions","value":5}]`,
		func(job *batchv1.Job) { *job.Spec.Completions = 5 },
	},
	"completions removed": {
		`[{"op":"remove","path":"/spec/completions"}]`,
		func(job *batchv1.Job) { job.Spec.Completions = nil },
	},
	"selector narrowed": {
		`[{"op":"add","path":"/spec/selector/matchLabels/job-name","value":"pi"}]`,
		func(job *batchv1.Job) { job.Spec.Selector.MatchLabels["job-name"] = "pi" },
	},
	allUpdatableFieldsChanged: {
		`[{"op":"replace","path":"/metadata/labels/team","value":"green"},
		  {"op":"replace","path":"/spec/parallelism","value":4},
		  {"op":"replace","path":"/spec/completions","value":8},
		  {"op":"add","path":"/spec/selector/matchLabels/job-name","value":"pi"}]`,
		func(job *batchv1.Job) {
			job.Labels["team"] = "green"
			*job.Spec.Parallelism = 4
			*job.Spec.Completions = 8
			job.Spec.Selector.MatchLabels["job-name"] = "pi"
		},
	},
}

func TestAllowedChangeStoredUnlessDryRun(t *testing.T) {
	t.Parallel()
	for name, row := range allowedChanges {
		for _, update := range updateTypes {
			t.Run(name+" by "+update.name, func(t *testing.T) {
				t.Parallel()
				for _, client := range updateClients(t) {
					namespace := newNamespace()
					original := shared.admin.apply(t, namespace, newJob(t))
					key := jobKey(namespace, "pi")
					before := shared.read(t, key)
					want := before.job(t)
					row.want(want)

					body := update.bodyFor(t, row.patch, original)
					r := client.update(t, update, namespace, body, true)
					r.expectUpdated(t, client.name+" dry run", want)
					shared.read(t, key).expectUnchanged(t, before)

					r = client.update(t, update, namespace, body, false)
					r.expectUpdated(t, client.name, want)
					after := shared.read(t, key)
					if diff := cmp.Diff(want, after.job(t), ignoreBookkeeping); diff != "" {
						t.Errorf("%s: stored Job (-want +got):\n%s", client.name, diff)
					}
					if after.revision == before.revision {
						t.Errorf("%s: update was not stored", client.name)
					}
				}
			})
		}
	}
}
