package core

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
)

func TestWarningPolicyLetsThroughAndSaysSo(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	name := s.createPolicy(s.newPolicy("warn", fields("metadata.annotations", "spec.backoffLimit"), warn))
	s.granted("annotate", "--overwrite", "job", "pi", "a=1")
	_, stderr, err := s.try(onJob("pi", `{"spec": {"backoffLimit": 1, "parallelism": 2}, "metadata": {"annotations": {"a": "2"}}}`)...)
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, path := range []string{`metadata.annotations["a"]`, "spec.backoffLimit"} {
		want += fmt.Sprintf("Warning: %s: changed with a warning, by JobUpdatePolicy %s: no policy allows it otherwise\n", path, name)
	}
	if diff := cmp.Diff(want, stderr); diff != "" {
		t.Errorf("the warnings are others: %s", diff)
	}
	if got := s.field("pi", ".spec.backoffLimit"); got != "1" {
		t.Errorf("the warned update left backoffLimit at %s", got)
	}
	// A policy that allows the same change silences the one that warns.
	s.createPolicy(s.newPolicy("allow", fields("spec.backoffLimit")))
	limit := 1
	s.eventually("be without a warning", func() error {
		limit++
		_, stderr, err := s.try(onJob("pi", fmt.Sprintf(`{"spec": {"backoffLimit": %d}}`, limit))...)
		if err == nil && stderr != "" {
			err = fmt.Errorf("kubectl said %q", stderr)
		}
		return err
	})
}

const (
	auditVerdict = "policy.batchgate.io/decision"
	auditRefused = "policy.batchgate.io/denied-paths"
	auditWarned  = "policy.batchgate.io/warned-paths"
	auditGranted = "policy.batchgate.io/granted-by"
)

// auditOf returns what the audit log says about the policies in patches of a Job.
func (s session) auditOf(job string) ([]map[string]string, error) {
	patches, err := s.auditedPatches(job)
	if err != nil {
		return nil, err
	}
	var found []map[string]string
	for _, event := range patches {
		about := map[string]string{}
		for key, value := range event.Annotations {
			if strings.HasPrefix(key, "policy.batchgate.io/") {
				about[key] = value
			}
		}
		found = append(found, about)
	}
	return found, nil
}

// auditedPatches returns what the audit log has of patches of a Job.
func (s session) auditedPatches(job string) ([]auditv1.Event, error) {
	content, err := os.ReadFile(cluster.AuditFile())
	if err != nil {
		return nil, err
	}
	var found []auditv1.Event
	for line := range strings.Lines(string(content)) {
		if !strings.Contains(line, "/namespaces/"+s.namespace+"/jobs/"+job) {
			continue
		}
		var event auditv1.Event
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			return nil, err // the rest of the line is still to come
		}
		if event.Verb == "patch" {
			found = append(found, event)
		}
	}
	return found, nil
}

// metric returns the value of a series in Batchgate's metrics, 0 if there is none.
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

func TestEveryVerdictIsAuditedAndCounted(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for _, job := range []string{"probe", "allowed", "granted", "warned", "refused"} {
		s.create(newJob(job))
	}
	granting := s.createPolicy(s.newPolicy("granting", fields("spec.activeDeadlineSeconds")))
	warning := s.createPolicy(s.newPolicy("warning", fields("metadata.annotations"), warn))
	s.granted("annotate", "job", "probe", "a=b")
	s.granted(onJob("probe", `{"spec": {"activeDeadlineSeconds": 9000}}`)...)

	const decisions = `batchgate_job_update_decisions_total{decision="%s",subresource=""}`
	warned := fmt.Sprintf(`batchgate_job_update_changes_total{decision="warn",field="metadata.annotations",policy="%s"}`, warning)
	const refused = `batchgate_job_update_changes_total{decision="deny",field="spec.template.spec.containers",policy=""}`
	before := map[string]int{warned: metric(t, warned), refused: metric(t, refused)}
	for _, decision := range []string{"allow", "warn", "deny"} {
		series := fmt.Sprintf(decisions, decision)
		before[series] = metric(t, series)
	}

	s.run(onJob("allowed", `{"metadata": {"labels": {"a": "b"}}}`)...)
	s.run(onJob("granted", `{"spec": {"activeDeadlineSeconds": 9000, "parallelism": 2}}`)...)
	s.run(onJob("warned", `{"metadata": {"annotations": {"b": "1", "a": "1"}, "labels": {"a": "b"}}}`)...)
	s.refused([]string{"patch", "job", "refused", "--type=strategic",
		`--patch={"metadata": {"annotations": {"a": "1"}}, "spec": {"suspend": true, "template": {"spec": {"containers": [{"name": "main", "image": "example.com/other"}]}}}}`},
		"may not be updated")

	for job, want := range map[string]map[string]string{
		"allowed": {auditVerdict: "allow", auditGranted: "default"},
		"granted": {auditVerdict: "allow", auditGranted: "default," + granting},
		"warned": {
			auditVerdict: "warn", auditGranted: "default," + warning,
			auditWarned: `metadata.annotations["a"]; metadata.annotations["b"]`,
		},
		"refused": {
			auditVerdict: "deny", auditGranted: warning,
			auditRefused: `spec.suspend; spec.template.spec.containers[name="main"].image`,
		},
	} {
		s.eventually("be in the audit log", func() error {
			got, err := s.auditOf(job)
			if err == nil && !cmp.Equal(got, []map[string]string{want}) {
				err = fmt.Errorf("the log about %s is another one: %s", job, cmp.Diff([]map[string]string{want}, got))
			}
			return err
		})
	}

	// The others in the cluster count too, but not under this policy.
	if got := metric(t, warned) - before[warned]; got != 2 {
		t.Errorf("%s went up by %d, want 2", warned, got)
	}
	for series, was := range before {
		if now := metric(t, series); now <= was {
			t.Errorf("%s was %d, and is %d", series, was, now)
		}
	}
}
