// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	batchconversion "k8s.io/kubernetes/pkg/apis/batch/v1"
	api "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

func policyOf(name, user string, action v1alpha1.Action, fields ...string) *v1alpha1.JobUpdatePolicy {
	p := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.JobUpdatePolicySpec{Fields: fields, Action: action}}
	if user != "" {
		p.Spec.Subjects = []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: user}}
	}
	v1alpha1.SetDefaults_JobUpdatePolicySpec(&p.Spec)
	return p
}

func running(j *batch.Job) { j.Status.StartTime = ptr.To(metav1.NewTime(time.Unix(1, 0))) }

func finished(j *batch.Job) {
	running(j)
	j.Status.Conditions = []batch.JobCondition{{Type: batch.JobComplete, Status: api.ConditionTrue}}
}

func suspended(j *batch.Job) { j.Spec.Suspend = ptr.To(true) }

// suspendedWithContainers gives the Job so many fields in containers that a review cannot try all.
func suspendedWithContainers(j *batch.Job) {
	suspended(j)
	first := &j.Spec.Template.Spec.Containers[0]
	first.Args, first.Env = []string{"a"}, []api.EnvVar{{Name: "A", Value: "a"}}
	for _, name := range []string{"second", "third", "fourth"} {
		container := first.DeepCopy()
		container.Name = name
		j.Spec.Template.Spec.Containers = append(j.Spec.Template.Spec.Containers, *container)
	}
}

func review(t *testing.T, gate *Gate, user string, job *batch.Job, exists bool, fields ...string) *Review {
	t.Helper()
	var patterns []fieldpath.Pattern
	for _, text := range fields {
		pattern, err := fieldpath.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, pattern)
	}
	var warnings recorder
	got, err := gate.Review(requestContext(user, &warnings), job, exists, patterns)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings.texts) > 0 {
		t.Errorf("the review warns: %q", warnings.texts)
	}
	return got
}

func TestGate_Review(t *testing.T) {
	gate := newGate(
		policyOf("everything", "root", v1alpha1.Allow, "*"),
		policyOf("annotations", "alice", v1alpha1.Warn, `metadata.annotations["example.com/*"]`),
		policyOf("rules", "alice", v1alpha1.Allow, "spec.podFailurePolicy.rules", "spec.suspend"),
	)
	for name, tc := range map[string]struct {
		user   string
		status func(*batch.Job)
		field  string
		want   fieldpolicy.Outcome
		reason string
	}{
		"granted to everyone":        {"alice", nil, "spec.parallelism", fieldpolicy.Allow, ""},
		"granted with a warning":     {"alice", nil, `metadata.annotations["example.com/a"]`, fieldpolicy.Warn, ""},
		"not granted":                {"alice", nil, "spec.backoffLimit", fieldpolicy.Deny, "no JobUpdatePolicy grants it"},
		"granted in part":            {"alice", nil, "metadata.annotations", fieldpolicy.Deny, `JobUpdatePolicies only grant parts of it: metadata.annotations["example.com/*"]`},
		"parent missing":             {"alice", nil, "spec.podFailurePolicy.rules", fieldpolicy.Deny, "it is missing in the Job, and no JobUpdatePolicy grants adding spec.podFailurePolicy"},
		"template of a running Job":  {"root", running, "spec.template.spec.containers[*].image", fieldpolicy.Deny, "spec.template: field is immutable"},
		"whole template":             {"root", running, "spec.template", fieldpolicy.Deny, "spec.template: field is immutable"},
		"suspended Job, image":       {"root", suspended, `spec.template.spec.containers[name="main"].image`, fieldpolicy.Deny, "spec.template.spec: field is immutable"},
		"suspended Job, node":        {"root", suspended, "spec.template.spec.nodeSelector", fieldpolicy.Allow, ""},
		"suspended Job, some fields": {"root", suspended, "spec.template", fieldpolicy.Allow, ""},
		"suspended Job, resources":   {"root", suspendedWithContainers, "spec.template.spec.containers", fieldpolicy.Allow, ""},
		"completion mode":            {"root", nil, "spec.completionMode", fieldpolicy.Deny, "spec.completionMode: field is immutable"},
		"manual selector":            {"root", nil, "spec.manualSelector", fieldpolicy.Deny, "spec.manualSelector: may not be set once the Job exists: its selector was generated"},
		"finished Job, completions":  {"root", finished, "spec.completions", fieldpolicy.Deny, "spec.completions: may not be updated once the Job has the condition Complete"},
		"finished Job, labels":       {"root", finished, "metadata.labels", fieldpolicy.Allow, ""},
		"everything":                 {"root", running, "*", fieldpolicy.Allow, ""},
		"value that is invalid":      {"root", nil, "spec.podReplacementPolicy", fieldpolicy.Allow, ""},
	} {
		t.Run(name, func(t *testing.T) {
			job := storedJob(t)
			if tc.status != nil {
				tc.status(job)
			}
			got := review(t, gate, tc.user, job, true, tc.field).Fields[0]
			if got.Outcome != tc.want || got.Reason != tc.reason {
				t.Errorf("got %s, reason %q; want %s, %q", got.Outcome, got.Reason, tc.want, tc.reason)
			}
		})
	}
	t.Run("many fields and containers", func(t *testing.T) {
		job := storedJob(t, suspended, func(j *batch.Job) {
			for i := range 70 {
				c := j.Spec.Template.Spec.Containers[0]
				c.Name = fmt.Sprint("c", i)
				j.Spec.Template.Spec.Containers = append(j.Spec.Template.Spec.Containers, c)
			}
		})
		fields := append(slices.Repeat([]string{"spec.template.spec"}, 8), "spec.template.spec.containers[*].image")
		got := review(t, gate, "root", job, true, fields...).Fields
		if got[0].Outcome != fieldpolicy.Allow || got[8].Outcome != fieldpolicy.Deny {
			t.Errorf("got %+v and %+v", got[0], got[8])
		}
		// The maximum number of fields is too much work for this Job.
		got = review(t, gate, "root", job, true, slices.Repeat([]string{"spec.template.spec"}, 64)...).Fields
		if got[0].Reason != "" || got[63].Outcome != fieldpolicy.Allow || got[63].Reason != uncheckedReason {
			t.Errorf("got %+v and %+v", got[0], got[63])
		}
	})
	t.Run("new Job has no rules", func(t *testing.T) {
		job := &batch.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "studio"}}
		if got := review(t, gate, "root", job, false, "spec.template").Fields[0]; got.Outcome != fieldpolicy.Allow {
			t.Errorf("got %+v", got)
		}
	})
}

// A field that a review denies by a rule cannot be changed to any of many values. A field that it allows
// is not immutable for at least one value. The test compares the review with an update for each field.
func TestGate_Review_AgreesWithUpdates(t *testing.T) {
	t.Parallel()
	gate := newGate(policyOf("everything", "", v1alpha1.Allow, "*"))
	for state, change := range map[string]func(*batch.Job){"new": func(*batch.Job) {}, "running": running, "suspended": suspended, "finished": finished} {
		job := storedJob(t)
		change(job)
		v1 := &batchv1.Job{}
		if err := batchconversion.Convert_batch_Job_To_v1_Job(job, v1, nil); err != nil {
			t.Fatal(err)
		}
		denied := 0
		for _, text := range fieldpath.AllPatterns() {
			pattern, err := fieldpath.ParsePattern(text)
			if err != nil {
				t.Fatal(err)
			}
			got := review(t, gate, "alice", job, true, text).Fields[0]
			if got.Outcome == fieldpolicy.Deny {
				denied++
			}
			tried, mutable := 0, false
			variants, _ := pattern.Variants(v1, 100)
			for variant := range variants {
				updated, err := updateTo(t, gate, job, variant)
				if err == nil && apiequality.Semantic.DeepEqual(updated, job) {
					continue
				}
				tried++
				mutable = mutable || !isRule(err)
			}
			if ignored := got.Reason == ignoredReason; ignored != (tried == 0) {
				t.Errorf("%s Job, %s: the review says %s (%s), and %d updates changed the Job or failed", state, text, got.Outcome, got.Reason, tried)
			}
			if allowed := got.Outcome == fieldpolicy.Allow; allowed != mutable {
				t.Errorf("%s Job, %s: the review says %s (%s), and an update could change it: %t", state, text, got.Outcome, got.Reason, mutable)
			}
		}
		if denied < 800 && state != "new" || denied == 0 {
			t.Errorf("%s Job: only %d fields are denied by rules", state, denied)
		}
	}
}

// updateTo returns the result of an update.
func updateTo(t *testing.T, gate *Gate, old *batch.Job, sent *batchv1.Job) (*batch.Job, error) {
	t.Helper()
	legacyscheme.Scheme.Default(sent)
	updated := &batch.Job{}
	if err := batchconversion.Convert_v1_Job_To_batch_Job(sent, updated, nil); err != nil {
		t.Fatal(err)
	}
	return updated, rest.BeforeUpdate(NewStrategy(gate), requestContext("alice", &recorder{}), updated, old.DeepCopy())
}

// isRule reports whether an update failed for another reason than its values.
func isRule(err error) bool {
	return apierrors.IsInvalid(err) && (strings.Contains(err.Error(), apivalidation.FieldImmutableErrorMsg) || strings.Contains(err.Error(), "Forbidden"))
}
