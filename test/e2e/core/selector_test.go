// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// selectRun gives a Job a manual selector for the first of its Pods' two labels.
func selectRun(job *batchv1.Job) {
	job.Spec.ManualSelector = new(true)
	job.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"run": "a"}}
	// With a manual selector, Kubernetes does not add the label with the name of the Job.
	job.Spec.Template.Labels = map[string]string{"run": "a", "part": "b", batchv1.JobNameLabel: "pi"}
}

// selectRunAndPart gives a Job a manual selector for both labels of its Pods.
func selectRunAndPart(job *batchv1.Job) {
	selectRun(job)
	job.Spec.Selector.MatchLabels["part"] = "b"
}

// Each subtest patches the selector while one Pod has succeeded and two are running. The Job controller
// must keep counting all three, replace none, and finish the Job.
func TestSelectorPatchKeepsPods(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*batchv1.Job)
		patch  string // a merge patch of the selector
		want   string // matchLabels after the patch; UID stands for the UID of the Job
	}{
		"manual selector replaced":      {selectRun, `{"matchLabels": {"run": null, "part": "b"}}`, `{"part":"b"}`},
		"manual selector narrowed":      {selectRun, `{"matchLabels": {"part": "b"}}`, `{"part":"b","run":"a"}`},
		"manual selector widened":       {selectRunAndPart, `{"matchLabels": {"part": null}}`, `{"run":"a"}`},
		"manual selector by expression": {selectRun, `{"matchLabels": null, "matchExpressions": [{"key": "part", "operator": "In", "values": ["b"]}]}`, ``},
		"generated selector with Job name": {
			func(*batchv1.Job) {}, `{"matchLabels": {"batch.kubernetes.io/job-name": "pi"}}`,
			`{"batch.kubernetes.io/controller-uid":"UID","batch.kubernetes.io/job-name":"pi"}`,
		},
		"generated selector with expression": {
			func(*batchv1.Job) {}, `{"matchExpressions": [{"key": "job-name", "operator": "Exists"}]}`,
			`{"batch.kubernetes.io/controller-uid":"UID"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := session.New(t, cluster)
			s.CreateJob(session.NewJob("pi", func(job *batchv1.Job) {
				job.Spec.Parallelism, job.Spec.Completions = ptr.To[int32](2), ptr.To[int32](5)
				tc.change(job)
			}))
			succeeded(2, 1)(s)
			s.WaitRunning("pi", 2)
			before := podUIDs(s.Pods("pi"))
			s.Run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"selector": `+tc.patch+`}}`)
			want := strings.ReplaceAll(tc.want, "UID", string(s.Job("pi").UID))
			if got := s.JobField("pi", ".spec.selector.matchLabels"); got != want {
				t.Errorf("matchLabels is %s, want %s", got, want)
			}
			s.ExpectError([]string{"patch", "job", "pi", "--type=merge", `--patch={"spec": {"selector": {"matchLabels": {"part": "other"}}}}`}, "`selector` ")
			// Once the Job controller acts on a later change, it has also seen the new selector.
			s.Run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"parallelism": 3}}`)
			s.WaitRunning("pi", 3)
			after := podUIDs(s.Pods("pi"))
			for uid := range before {
				if !after[uid] {
					t.Errorf("Pod %s was replaced", uid)
				}
			}
			s.FinishJob("pi", batchv1.JobComplete)
			if status := s.Job("pi").Status; status.Succeeded != 5 || status.Failed != 0 {
				t.Errorf("status is %+v, want 5 succeeded", status)
			}
			if pods := s.Pods("pi"); len(pods) != 5 {
				t.Errorf("Job has %d Pods, want 5", len(pods))
			}
		})
	}
}

func TestUnsafeSelectorPatchRejected(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi", func(job *batchv1.Job) { job.Spec.Template.Labels = map[string]string{"part": "b"} }))
	s.CreateJob(session.NewJob("manual", selectRun))
	for _, tc := range []struct{ job, patch, wantError string }{
		{"pi", `{"matchLabels": {"batch.kubernetes.io/controller-uid": null, "job-name": "pi"}}`, "spec.selector.matchLabels: Invalid value: must keep batch.kubernetes.io/controller-uid: " + string(s.Job("pi").UID)},
		{"pi", `{"matchLabels": {"part": "b"}}`, "spec.selector: Invalid value: `selector` not auto-generated"},
		{"pi", `null`, "spec.selector: Required value"},
		{"manual", `{"matchLabels": null}`, "spec.selector: Invalid value: must require the value of one of the template's labels"},
		// Another Job's Pods may have the other value.
		{"manual", `{"matchLabels": null, "matchExpressions": [{"key": "part", "operator": "In", "values": ["b", "c"]}]}`, "spec.selector: Invalid value: must require the value of one of the template's labels"},
		{"manual", `{"matchLabels": {"part": "c"}}`, "`selector` does not match template `labels`"},
		{"manual", `{"matchExpressions": [{"key": "run", "operator": "DoesNotExist"}]}`, "`selector` does not match template `labels`"},
	} {
		s.ExpectError([]string{"patch", "job", tc.job, "--type=merge", `--patch={"spec": {"selector": ` + tc.patch + `}}`}, tc.wantError)
	}
	s.FinishJob("pi", batchv1.JobComplete)
	s.FinishJob("manual", batchv1.JobComplete)
}

func TestFinishedJobKeepsSelector(t *testing.T) {
	t.Parallel()
	for _, condition := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		t.Run(string(condition), func(t *testing.T) {
			t.Parallel()
			s := session.New(t, cluster)
			s.CreateJob(session.NewJob("pi", selectRun, func(job *batchv1.Job) {
				if condition == batchv1.JobFailed {
					failing(&job.Spec)
				}
			}))
			s.FinishJob("pi", condition)
			s.ExpectError([]string{"patch", "job", "pi", "--type=merge", `--patch={"spec": {"selector": {"matchLabels": {"part": "b"}}}}`},
				fmt.Sprintf("spec.selector: Forbidden: may not be updated once the Job has the condition %s", condition))
		})
	}
}

func podUIDs(pods []corev1.Pod) map[types.UID]bool {
	uids := map[types.UID]bool{}
	for _, pod := range pods {
		uids[pod.UID] = true
	}
	return uids
}

// A widened manual selector adopts matching Pods that have no controller, as the Job controller also
// does when the Job is created.
func TestWidenedManualSelectorAdoptsOrphans(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi", selectRunAndPart))
	s.WaitRunning("pi", 1)
	pods := cluster.Client.CoreV1().Pods(s.Namespace)
	orphan := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "orphan", Labels: map[string]string{"run": "a", "part": "c"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "example.com/other:1"}}},
	}
	if _, err := pods.Create(t.Context(), orphan, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// Raise parallelism and completions too, or the Job controller would delete the excess Pod.
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"parallelism": 2, "completions": 2, "selector": {"matchLabels": {"part": null}}}}`)
	s.Eventually("have the Pod adopted", func() error {
		pod, err := pods.Get(t.Context(), "orphan", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !metav1.IsControlledBy(pod, s.Job("pi")) {
			return fmt.Errorf("owners of the Pod are %v", pod.OwnerReferences)
		}
		return nil
	})
}
