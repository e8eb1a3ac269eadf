// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

func TestWarnPolicyAllowsWithWarning(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	name := s.CreatePolicy(s.NewPolicy("warn", session.Fields("metadata.annotations", "spec.backoffLimit"), session.Warn))
	s.RunEventually("annotate", "--overwrite", "job", "pi", "a=1")
	_, stderr, err := s.Try(session.MergePatch("pi", `{"spec": {"backoffLimit": 1, "parallelism": 2}, "metadata": {"annotations": {"a": "2"}}}`)...)
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, path := range []string{`metadata.annotations["a"]`, "spec.backoffLimit"} {
		want += fmt.Sprintf("Warning: %s: changed; only granted with the action Warn, by JobUpdatePolicy %s\n", path, name)
	}
	if diff := cmp.Diff(want, stderr); diff != "" {
		t.Errorf("warnings differ (-want +got):\n%s", diff)
	}
	if got := s.JobField("pi", ".spec.backoffLimit"); got != "1" {
		t.Errorf("backoffLimit is %s after an update with a warning, want 1", got)
	}
	// A policy that allows the same change suppresses the warning.
	s.CreatePolicy(s.NewPolicy("allow", session.Fields("spec.backoffLimit")))
	limit := 1
	s.Eventually("update without a warning", func() error {
		limit++
		_, stderr, err := s.Try(session.MergePatch("pi", fmt.Sprintf(`{"spec": {"backoffLimit": %d}}`, limit))...)
		if err == nil && stderr != "" {
			err = fmt.Errorf("kubectl printed %q", stderr)
		}
		return err
	})
}

const (
	auditDecision = "policy.batchgate.io/decision"
	auditDenied   = "policy.batchgate.io/denied-paths"
	auditWarned   = "policy.batchgate.io/warned-paths"
	auditGranted  = "policy.batchgate.io/granted-by"
	auditLabels   = "policy.batchgate.io/job-labels"
)

// auditAnnotations returns Batchgate's annotations of each audit event for patches of a Job.
func auditAnnotations(s session.Session, job string) ([]map[string]string, error) {
	patches, err := s.AuditedPatches(job)
	if err != nil {
		return nil, err
	}
	var found []map[string]string
	for _, event := range patches {
		annotations := map[string]string{}
		for key, value := range event.Annotations {
			if strings.HasPrefix(key, "policy.batchgate.io/") {
				annotations[key] = value
			}
		}
		found = append(found, annotations)
	}
	return found, nil
}

// metric returns the value of a series in Batchgate's metrics, or 0 if the series does not exist.
func metric(t *testing.T, series string) int {
	t.Helper()
	client, err := kubernetes.NewForConfig(cluster.DirectConfig())
	if err != nil {
		t.Fatal(err)
	}
	text, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			count, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(count)
		}
	}
	return 0
}

func TestDecisionsAuditedAndCounted(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	for _, job := range []string{"probe", "allowed", "granted", "warned"} {
		s.CreateJob(session.NewJob(job))
	}
	s.CreateJob(session.NewJob("denied", func(job *batchv1.Job) { job.Labels = map[string]string{"team": "x"} }))
	granting := s.CreatePolicy(s.NewPolicy("granting", session.Fields("spec.activeDeadlineSeconds")))
	warning := s.CreatePolicy(s.NewPolicy("warning", session.Fields("metadata.annotations"), session.Warn))
	s.RunEventually("annotate", "job", "probe", "a=b")
	s.RunEventually(session.MergePatch("probe", `{"spec": {"activeDeadlineSeconds": 9000}}`)...)

	const decisions = `batchgate_job_update_decisions_total{decision="%s",subresource=""}`
	warned := fmt.Sprintf(`batchgate_job_update_changes_total{decision="warn",field="metadata.annotations",policy="%s"}`, warning)
	const denied = `batchgate_job_update_changes_total{decision="deny",field="spec.template.spec.containers",policy=""}`
	before := map[string]int{warned: metric(t, warned), denied: metric(t, denied)}
	for _, decision := range []string{"allow", "warn", "deny"} {
		series := fmt.Sprintf(decisions, decision)
		before[series] = metric(t, series)
	}

	s.Run(session.MergePatch("allowed", `{"metadata": {"labels": {"a": "b"}}}`)...)
	s.Run(session.MergePatch("granted", `{"spec": {"activeDeadlineSeconds": 9000, "parallelism": 2}}`)...)
	s.Run(session.MergePatch("warned", `{"metadata": {"annotations": {"b": "1", "a": "1"}, "labels": {"a": "b"}}}`)...)
	s.ExpectError([]string{"patch", "job", "denied", "--type=strategic",
		`--patch={"metadata": {"annotations": {"a": "1"}}, "spec": {"suspend": true, "template": {"spec": {"containers": [{"name": "main", "image": "example.com/other"}]}}}}`},
		"may not be updated")

	for job, want := range map[string]map[string]string{
		"allowed": {auditDecision: "allow", auditGranted: "default"},
		"granted": {auditDecision: "allow", auditGranted: "default," + granting},
		"warned": {
			auditDecision: "warn", auditGranted: "default," + warning,
			auditWarned: `metadata.annotations["a"]; metadata.annotations["b"]`, auditLabels: "{}",
		},
		"denied": {
			auditDecision: "deny", auditGranted: warning,
			auditDenied: `spec.suspend; spec.template.spec.containers[name="main"].image`, auditLabels: `{"team":"x"}`,
		},
	} {
		s.Eventually("find Job "+job+" in the audit log", func() error {
			got, err := auditAnnotations(s, job)
			if err == nil && !cmp.Equal(got, []map[string]string{want}) {
				err = fmt.Errorf("audit annotations differ (-want +got):\n%s", cmp.Diff([]map[string]string{want}, got))
			}
			return err
		})
	}

	// Parallel tests also increase the decision counters, but not the counter of this policy.
	if got := metric(t, warned) - before[warned]; got != 2 {
		t.Errorf("%s increased by %d, want 2", warned, got)
	}
	for series, was := range before {
		if now := metric(t, series); now <= was {
			t.Errorf("%s did not increase: it was %d and is %d", series, was, now)
		}
	}
}
