// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const deniedStatusMessage = `may not be updated; updatable fields are metadata.labels, status; no JobUpdatePolicy grants this change to "admin" (kubectl get jup)`

func statusPath(namespace, name string) string { return jobPath(namespace, name) + "/status" }

var startTime = metav1.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// statusChanges are JSON Patches to send to jobs/status.
var statusChanges = map[string]struct {
	patch string
	want  func(*batchv1.Job) // nil if the gate denies the change
	paths []string           // the denied paths
	// removal is set if the change only removes fields. An apply to jobs/status cannot do that:
	// the fields are owned by an apply to the Job.
	removal bool
}{
	"status changed": {
		patch: `[{"op":"add","path":"/status/active","value":1},{"op":"add","path":"/status/startTime","value":"2026-01-02T03:04:05Z"}]`,
		want: func(job *batchv1.Job) {
			job.Status.Active = 1
			job.Status.StartTime = &startTime
		},
	},
	"label changed": {
		patch: `[{"op":"replace","path":"/metadata/labels/team","value":"green"}]`,
		want:  func(job *batchv1.Job) { job.Labels["team"] = "green" },
	},
	"status and label changed": {
		patch: `[{"op":"add","path":"/status/active","value":1},{"op":"replace","path":"/metadata/labels/team","value":"green"}]`,
		want: func(job *batchv1.Job) {
			job.Status.Active = 1
			job.Labels["team"] = "green"
		},
	},
	"spec sent with status": {
		patch: `[{"op":"add","path":"/status/active","value":1},
		  {"op":"replace","path":"/spec/parallelism","value":7},
		  {"op":"replace","path":"/spec/suspend","value":true},
		  {"op":"replace","path":"/spec/template/spec/containers/0/image","value":"python"}]`,
		want: func(job *batchv1.Job) { job.Status.Active = 1 },
	},
	"annotation changed": {
		patch: `[{"op":"replace","path":"/metadata/annotations/example.com~1note","value":"second"}]`,
		paths: []string{`metadata.annotations["example.com/note"]`},
	},
	"annotation added with status": {
		patch: `[{"op":"add","path":"/status/active","value":1},{"op":"add","path":"/metadata/annotations/example.com~1new","value":"x"}]`,
		paths: []string{`metadata.annotations["example.com/new"]`},
	},
	"finalizer removed": {
		patch: `[{"op":"remove","path":"/metadata/finalizers"}]`, removal: true,
		paths: []string{`metadata.finalizers["example.com/hold"]`},
	},
	"owner reference removed": {
		patch: `[{"op":"remove","path":"/metadata/ownerReferences"}]`, removal: true,
		paths: []string{`metadata.ownerReferences[uid="5f0e1b52-0000-4000-8000-000000000001"]`},
	},
}

func TestStatusUpdateChangesStatusAndLabels(t *testing.T) {
	t.Parallel()
	for name, row := range statusChanges {
		for _, update := range updateTypes {
			if row.removal && update.name == "apply" {
				continue
			}
			t.Run(name+" by "+update.name, func(t *testing.T) {
				t.Parallel()
				for _, client := range updateClients(t, "status") {
					namespace := newNamespace()
					body := update.bodyFor(t, row.patch, shared.admin.apply(t, namespace, newJob(t)))
					before := shared.read(t, jobKey(namespace, "pi"))
					want := before.job(t)
					for _, dryRun := range []bool{true, false} {
						r := client.update(t, update, namespace, body, dryRun)
						after := shared.read(t, jobKey(namespace, "pi"))
						if row.want == nil {
							r.expectDeniedWith(t, deniedStatusMessage, row.paths)
							after.expectUnchanged(t, before)
							continue
						}
						if dryRun {
							row.want(want)
							after.expectUnchanged(t, before)
						} else if diff := cmp.Diff(want, after.job(t), ignoreBookkeeping); diff != "" {
							t.Errorf("%s: stored Job (-want +got):\n%s", client.name, diff)
						}
						r.expectUpdated(t, client.name, want)
					}
				}
			})
		}
	}
}

func TestStatusUpdateIgnoresSpec(t *testing.T) {
	t.Parallel()
	for _, update := range updateTypes {
		t.Run(update.name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			original := shared.admin.apply(t, namespace, newJob(t))
			before := shared.read(t, jobKey(namespace, "pi"))
			body := update.bodyFor(t, `[{"op":"replace","path":"/spec/completions","value":7},{"op":"replace","path":"/spec/backoffLimit","value":7}]`, original)
			update.send(t, shared.admin, statusPath(namespace, "pi"), body, false).expect(t, http.StatusOK)
			after := shared.read(t, jobKey(namespace, "pi")).job(t)
			if diff := cmp.Diff(before.job(t), after, ignoreBookkeeping); diff != "" {
				t.Errorf("stored Job changed (-before +after):\n%s", diff)
			}
			if after.Generation != before.job(t).Generation {
				t.Errorf("generation changed to %d", after.Generation)
			}
		})
	}
}
