// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func indexed(completions, parallelism int32) func(*batchv1.Job) {
	return func(job *batchv1.Job) {
		job.Spec.CompletionMode = ptr.To(batchv1.IndexedCompletion)
		job.Spec.Completions, job.Spec.Parallelism = &completions, &parallelism
	}
}

func withoutCompletions(job *batchv1.Job) { job.Spec.Completions = nil }

func manualSelector(job *batchv1.Job) {
	job.Spec.ManualSelector = ptr.To(true)
	job.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "pi"}}
	job.Spec.Template.Labels["tier"] = "one"
}

// finished returns a status with the conditions of a finished Job. The Job controller first sets
// the announcement (SuccessCriteriaMet or FailureTarget), then the end (Complete or Failed).
func finished(announcement, end batchv1.JobConditionType) batchv1.JobStatus {
	status := batchv1.JobStatus{StartTime: &startTime, Succeeded: 3}
	for _, condition := range []batchv1.JobConditionType{announcement, end} {
		if condition != "" {
			status.Conditions = append(status.Conditions, batchv1.JobCondition{Type: condition, Status: corev1.ConditionTrue})
		}
	}
	if end == batchv1.JobComplete {
		status.CompletionTime = &startTime
	}
	return status
}

func TestCompletionsAndSelectorTransitions(t *testing.T) {
	t.Parallel()
	const (
		setSelector  = `{"spec":{"selector":{"matchLabels":%}}}`
		onceFinished = "may not be updated once the Job has the condition "
		keepTwo      = "may not be lower than 3, since index 2 has succeeded; to drop succeeded indexes, set parallelism to the same number in the same update"
	)
	selector := func(labels string) string { return strings.ReplaceAll(setSelector, "%", labels) }
	threeDone := batchv1.JobStatus{StartTime: &startTime, Succeeded: 2, CompletedIndexes: "0,2"}
	for name, row := range map[string]struct {
		job    []func(*batchv1.Job)
		status batchv1.JobStatus
		patch  string
		want   func(*batchv1.JobSpec) // nil if the change is rejected
		causes map[string]string      // expected causes: a part of the message by field
	}{
		"NonIndexed: completions set": {
			job: []func(*batchv1.Job){withoutCompletions}, patch: `{"spec":{"completions":4}}`,
			want: func(spec *batchv1.JobSpec) { spec.Completions = ptr.To[int32](4) },
		},
		"NonIndexed: completions removed": {
			patch: `{"spec":{"completions":null}}`,
			want:  func(spec *batchv1.JobSpec) { spec.Completions = nil },
		},
		"NonIndexed: completions set to zero": {
			patch: `{"spec":{"completions":0}}`,
			want:  func(spec *batchv1.JobSpec) { *spec.Completions = 0 },
		},
		"NonIndexed: completions below succeeded": {
			status: batchv1.JobStatus{StartTime: &startTime, Succeeded: 2}, patch: `{"spec":{"completions":1}}`,
			want: func(spec *batchv1.JobSpec) { *spec.Completions = 1 },
		},
		"NonIndexed: negative completions rejected": {
			patch:  `{"spec":{"completions":-1}}`,
			causes: map[string]string{"spec.completions": "must be greater than or equal to 0"},
		},
		"Indexed: completions raised without parallelism": {
			job: []func(*batchv1.Job){indexed(4, 2)}, patch: `{"spec":{"completions":9}}`,
			want: func(spec *batchv1.JobSpec) { *spec.Completions = 9 },
		},
		"Indexed: completions lowered to succeeded indexes": {
			job: []func(*batchv1.Job){indexed(6, 2)}, status: threeDone, patch: `{"spec":{"completions":3}}`,
			want: func(spec *batchv1.JobSpec) { *spec.Completions = 3 },
		},
		"Indexed: completions below succeeded index rejected": {
			job: []func(*batchv1.Job){indexed(6, 1)}, status: threeDone, patch: `{"spec":{"completions":2}}`,
			causes: map[string]string{"spec.completions": keepTwo},
		},
		"Indexed: completions and parallelism below succeeded index": {
			job: []func(*batchv1.Job){indexed(6, 6)}, status: threeDone, patch: `{"spec":{"completions":2,"parallelism":2}}`,
			want: func(spec *batchv1.JobSpec) { *spec.Completions, *spec.Parallelism = 2, 2 },
		},
		"Indexed: parallelism below completions": {
			job: []func(*batchv1.Job){indexed(2, 2)}, status: batchv1.JobStatus{StartTime: &startTime, CompletedIndexes: "0"}, patch: `{"spec":{"parallelism":1}}`,
			want: func(spec *batchv1.JobSpec) { *spec.Parallelism = 1 },
		},
		"Indexed: completions removal rejected": {
			job: []func(*batchv1.Job){indexed(4, 2)}, patch: `{"spec":{"completions":null}}`,
			causes: map[string]string{"spec.completions": "when completion mode is Indexed"},
		},
		"Complete: completions rejected": {
			status: finished(batchv1.JobSuccessCriteriaMet, batchv1.JobComplete), patch: `{"spec":{"completions":9}}`,
			causes: map[string]string{"spec.completions": onceFinished + "Complete"},
		},
		"Complete: selector rejected": {
			status: finished(batchv1.JobSuccessCriteriaMet, batchv1.JobComplete), patch: selector(`{"job-name":"pi"}`),
			causes: map[string]string{"spec.selector": onceFinished + "Complete"},
		},
		"Complete: completions and selector rejected": {
			status: finished(batchv1.JobSuccessCriteriaMet, batchv1.JobComplete),
			patch:  `{"spec":{"completions":9,"selector":{"matchLabels":{"job-name":"pi"}}}}`,
			causes: map[string]string{"spec.completions": onceFinished + "Complete", "spec.selector": onceFinished + "Complete"},
		},
		"Complete: parallelism, without effect": {
			status: finished(batchv1.JobSuccessCriteriaMet, batchv1.JobComplete), patch: `{"spec":{"parallelism":9}}`,
			want: func(spec *batchv1.JobSpec) { *spec.Parallelism = 9 },
		},
		"Failed: completions rejected": {
			status: finished(batchv1.JobFailureTarget, batchv1.JobFailed), patch: `{"spec":{"completions":9}}`,
			causes: map[string]string{"spec.completions": onceFinished + "Failed"},
		},
		"FailureTarget: completions rejected": {
			status: finished(batchv1.JobFailureTarget, ""), patch: `{"spec":{"completions":9}}`,
			causes: map[string]string{"spec.completions": onceFinished + "FailureTarget"},
		},
		"SuccessCriteriaMet: completions rejected": {
			status: finished(batchv1.JobSuccessCriteriaMet, ""), patch: `{"spec":{"completions":9}}`,
			causes: map[string]string{"spec.completions": onceFinished + "SuccessCriteriaMet"},
		},
		"generated selector narrowed": {
			patch: selector(`{"job-name":"pi"}`),
			want:  func(spec *batchv1.JobSpec) { spec.Selector.MatchLabels["job-name"] = "pi" },
		},
		"generated selector without UID rejected": {
			patch:  `{"spec":{"selector":{"matchLabels":{"batch.kubernetes.io/controller-uid":null,"job-name":"pi"}}}}`,
			causes: map[string]string{"spec.selector.matchLabels": "must keep batch.kubernetes.io/controller-uid: "},
		},
		"generated selector with other UID rejected": {
			patch:  selector(`{"batch.kubernetes.io/controller-uid":"another"}`),
			causes: map[string]string{"spec.selector": "`selector` not auto-generated"},
		},
		"generated selector with user label rejected": {
			patch:  selector(`{"app":"pi"}`),
			causes: map[string]string{"spec.selector": "`selector` not auto-generated"},
		},
		"generated selector removal rejected": {
			patch:  `{"spec":{"selector":null}}`,
			causes: map[string]string{"spec.selector": ""},
		},
		"manual selector narrowed": {
			job: []func(*batchv1.Job){manualSelector}, patch: selector(`{"tier":"one"}`),
			want: func(spec *batchv1.JobSpec) { spec.Selector.MatchLabels["tier"] = "one" },
		},
		"manual selector replaced": {
			job: []func(*batchv1.Job){manualSelector}, patch: selector(`{"app":null,"tier":"one"}`),
			want: func(spec *batchv1.JobSpec) { spec.Selector.MatchLabels = map[string]string{"tier": "one"} },
		},
		"manual selector not matching template rejected": {
			job: []func(*batchv1.Job){manualSelector}, patch: selector(`{"tier":"two"}`),
			causes: map[string]string{"spec.template.metadata.labels": "`selector` does not match template `labels`"},
		},
		"invalid manual selector rejected": {
			job: []func(*batchv1.Job){manualSelector}, patch: selector(`{"tier":"not a value"}`),
			causes: map[string]string{"spec.selector.matchLabels": "a valid label must"},
		},
		"manual selector removal rejected": {
			job: []func(*batchv1.Job){manualSelector}, patch: `{"spec":{"selector":null}}`,
			causes: map[string]string{"spec.selector": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			shared.admin.create(t, namespace, newJob(t, row.job...))
			status := encode(t, map[string]any{"status": row.status})
			shared.admin.patch(t, statusPath(namespace, "pi"), mergePatch, string(status)).expect(t, http.StatusOK)
			before := shared.read(t, jobKey(namespace, "pi"))
			resp := shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, row.patch)
			after := shared.read(t, jobKey(namespace, "pi"))
			if row.want == nil {
				resp.expectCauses(t, row.causes)
				after.expectUnchanged(t, before)
				return
			}
			want := before.job(t)
			row.want(&want.Spec)
			resp.expect(t, http.StatusOK)
			if diff := cmp.Diff(want, after.job(t), ignoreBookkeeping); diff != "" {
				t.Errorf("stored Job (-want +got):\n%s", diff)
			}
			if got := after.job(t).Generation; got != want.Generation+1 {
				t.Errorf("generation is %d, want %d", got, want.Generation+1)
			}
		})
	}
}

// expectCauses fails the test unless the response is status 422 with causes for exactly these
// fields, and each message contains its part.
func (resp *response) expectCauses(t *testing.T, parts map[string]string) {
	t.Helper()
	status := resp.expect(t, http.StatusUnprocessableEntity).status(t)
	if len(status.Details.Causes) != len(parts) {
		t.Errorf("got %d causes, want %d", len(status.Details.Causes), len(parts))
	}
	for _, cause := range status.Details.Causes {
		part, ok := parts[cause.Field]
		if !ok || !strings.Contains(cause.Message, part) {
			t.Errorf("cause for %s is %q, want %q", cause.Field, cause.Message, part)
		}
	}
}
