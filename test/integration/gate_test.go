package integration

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
)

// allowed are the changes that every user may make, as JSON Patches.
var allowed = map[string]struct {
	patch string
	want  func(*batchv1.Job)
}{
	"a label is added": {
		`[{"op":"add","path":"/metadata/labels/new","value":"one"}]`,
		func(job *batchv1.Job) { job.Labels["new"] = "one" },
	},
	"a label is changed": {
		`[{"op":"replace","path":"/metadata/labels/team","value":"green"}]`,
		func(job *batchv1.Job) { job.Labels["team"] = "green" },
	},
	"a label is removed": {
		`[{"op":"remove","path":"/metadata/labels/team"}]`,
		func(job *batchv1.Job) { delete(job.Labels, "team") },
	},
	"parallelism is changed": {
		`[{"op":"replace","path":"/spec/parallelism","value":2}]`,
		func(job *batchv1.Job) { *job.Spec.Parallelism = 2 },
	},
	"parallelism is changed to zero": {
		`[{"op":"replace","path":"/spec/parallelism","value":0}]`,
		func(job *batchv1.Job) { *job.Spec.Parallelism = 0 },
	},
	"completions is raised": {
		`[{"op":"replace","path":"/spec/completions","value":5}]`,
		func(job *batchv1.Job) { *job.Spec.Completions = 5 },
	},
	"completions is removed": {
		`[{"op":"remove","path":"/spec/completions"}]`,
		func(job *batchv1.Job) { job.Spec.Completions = nil },
	},
	"the selector is narrowed": {
		`[{"op":"add","path":"/spec/selector/matchLabels/job-name","value":"pi"}]`,
		func(job *batchv1.Job) { job.Spec.Selector.MatchLabels["job-name"] = "pi" },
	},
	"all of them are changed": {
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

func TestAnAllowedChangeIsStoredAndItsDryRunIsNot(t *testing.T) {
	t.Parallel()
	for name, row := range allowed {
		for _, kind := range kinds {
			t.Run(name+" by "+kind.name, func(t *testing.T) {
				t.Parallel()
				for _, client := range clients(t) {
					namespace := newNamespace()
					before := shared.admin.apply(t, namespace, newJob(t))
					key := jobKey(namespace, "pi")
					was := shared.read(t, key)
					want := was.job(t)
					row.want(want)

					body := kind.change(t, row.patch, before)
					r := client.update(t, kind, namespace, body, true)
					r.expectChanged(t, client.name+", dry run", want)
					shared.read(t, key).mustEqual(t, was)

					r = client.update(t, kind, namespace, body, false)
					r.expectChanged(t, client.name, want)
					is := shared.read(t, key)
					if diff := cmp.Diff(want, is.job(t), ignoreBookkeeping); diff != "" {
						t.Errorf("%s: the stored Job is not the wanted one (-want +got):\n%s", client.name, diff)
					}
					if is.revision == was.revision {
						t.Errorf("%s: nothing was stored", client.name)
					}
				}
			})
		}
	}
}

// expectChanged fails the test where the update was refused, warned of, or changed the Job
// to another one.
func (r result) expectChanged(t *testing.T, what string, want *batchv1.Job) {
	t.Helper()
	if r.code != http.StatusOK {
		t.Fatalf("%s: the answer is %d: %s", what, r.code, r.status.Message)
	}
	if diff := cmp.Diff(want, r.job, ignoreBookkeeping); diff != "" {
		t.Errorf("%s: the answered Job is not the wanted one (-want +got):\n%s", what, diff)
	}
	if len(r.warnings) > 0 {
		t.Errorf("%s: unexpected warnings: %q", what, r.warnings)
	}
}
