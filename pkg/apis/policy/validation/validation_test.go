// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

func valid() *policy.JobUpdatePolicy {
	return &policy.JobUpdatePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "kueue", ResourceVersion: "1"},
		Spec: policy.JobUpdatePolicySpec{
			Subjects: []rbacv1.Subject{
				{Kind: "ServiceAccount", Namespace: "kueue-system", Name: "kueue"},
				{Kind: "User", APIGroup: rbacv1.GroupName, Name: "alice"},
				{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "system:masters"},
			},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"env": "test"}},
			JobSelector:       &metav1.LabelSelector{},
			Fields:            []string{"spec.suspend", "*", `metadata.annotations["a/*"]`},
			Action:            policy.Allow,
		},
	}
}

type change = func(*policy.JobUpdatePolicy)

func fields(f ...string) change { return func(p *policy.JobUpdatePolicy) { p.Spec.Fields = f } }

func subject(s rbacv1.Subject) change {
	return func(p *policy.JobUpdatePolicy) { p.Spec.Subjects = []rbacv1.Subject{s} }
}

func TestValidateJobUpdatePolicy(t *testing.T) {
	for name, tc := range map[string]struct {
		change change
		want   []string // cause type and field, then a part of the message
	}{
		"valid":                           {change: func(*policy.JobUpdatePolicy) {}},
		"action Warn":                     {change: func(p *policy.JobUpdatePolicy) { p.Spec.Action = policy.Warn }},
		"no subjects":                     {change: func(p *policy.JobUpdatePolicy) { p.Spec.Subjects = nil }},
		"no fields":                       {fields(), []string{"FieldValueRequired spec.fields", "name the fields"}},
		"unknown field":                   {fields("spec.suspend", "spec.paralelism"), []string{"FieldValueInvalid spec.fields[1]", "the nearest is spec.parallelism"}},
		"duplicate field":                 {fields("spec.suspend", "spec.suspend"), []string{"FieldValueDuplicate spec.fields[1]", ""}},
		"duplicate field in another form": {fields(`metadata.labels["a"]`, `metadata.labels["\x61"]`), []string{"FieldValueDuplicate spec.fields[1]", ""}},
		"long field":                      {fields(`metadata.labels["` + strings.Repeat("a", 1024) + `"]`), []string{"FieldValueTooLong spec.fields[0]", ""}},
		"too many fields":                 {fields(labelFields(257)...), []string{"FieldValueTooMany spec.fields", ""}},
		"too many subjects":               {func(p *policy.JobUpdatePolicy) { p.Spec.Subjects = make([]rbacv1.Subject, 257) }, []string{"FieldValueTooMany spec.subjects", ""}},
		"status field":                    {fields("status"), []string{"FieldValueInvalid spec.fields[0]", "status subresource"}},
		"unknown action":                  {func(p *policy.JobUpdatePolicy) { p.Spec.Action = "Deny" }, []string{"FieldValueNotSupported spec.action", `"Allow", "Warn"`}},
		"no namespaceSelector": {
			func(p *policy.JobUpdatePolicy) { p.Spec.NamespaceSelector = nil },
			[]string{"FieldValueRequired spec.namespaceSelector", "use {} to select all"},
		},
		"no jobSelector": {func(p *policy.JobUpdatePolicy) { p.Spec.JobSelector = nil }, []string{"FieldValueRequired spec.jobSelector", ""}},
		"invalid selector": {
			func(p *policy.JobUpdatePolicy) { p.Spec.JobSelector.MatchLabels = map[string]string{"a b": ""} },
			[]string{"FieldValueInvalid spec.jobSelector.matchLabels", ""},
		},
		"unknown kind of subject":             {subject(rbacv1.Subject{Kind: "Robot", Name: "r2"}), []string{"FieldValueNotSupported spec.subjects[0].kind", ""}},
		"subject without a name":              {subject(rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName}), []string{"FieldValueRequired spec.subjects[0].name", ""}},
		"service account without a namespace": {subject(rbacv1.Subject{Kind: "ServiceAccount", Name: "a"}), []string{"FieldValueRequired spec.subjects[0].namespace", ""}},
		"service account with an API group":   {subject(rbacv1.Subject{Kind: "ServiceAccount", Name: "a", Namespace: "b", APIGroup: "c"}), []string{"FieldValueNotSupported spec.subjects[0].apiGroup", ""}},
		"user with a namespace":               {subject(rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "a", Namespace: "b"}), []string{"FieldValueForbidden spec.subjects[0].namespace", ""}},
		"invalid name":                        {func(p *policy.JobUpdatePolicy) { p.Name = "A_b" }, []string{"FieldValueInvalid metadata.name", ""}},
		"namespaced policy":                   {func(p *policy.JobUpdatePolicy) { p.Namespace = "a" }, []string{"FieldValueForbidden metadata.namespace", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			p := valid()
			tc.change(p)
			errs := ValidateJobUpdatePolicy(p)
			check(t, errs, tc.want)
			if !strings.HasPrefix(strings.Join(tc.want, ""), "FieldValue") || strings.Contains(tc.want[0], " spec") {
				check(t, ValidateJobUpdatePolicyUpdate(p, valid()), tc.want)
			}
		})
	}
}

// After a downgrade, a policy may contain fields that the server does not support.
func TestValidateJobUpdatePolicyUpdate_Downgrade(t *testing.T) {
	old := valid()
	old.Spec.Fields = []string{"spec.future", "spec.suspend"}
	for name, tc := range map[string]struct {
		fields []string
		want   []string
	}{
		"unchanged":           {fields: []string{"spec.future", "spec.suspend"}},
		"known field added":   {fields: []string{"spec.future", "spec.backoffLimit"}},
		"removed":             {fields: []string{"spec.suspend"}},
		"unknown field added": {[]string{"spec.future", "spec.farFuture"}, []string{"FieldValueInvalid spec.fields[1]", "has no field spec.farFuture"}},
		"duplicate":           {[]string{"spec.future", "spec.future"}, []string{"FieldValueDuplicate spec.fields[1]", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			p := valid()
			p.Spec.Fields = tc.fields
			check(t, ValidateJobUpdatePolicyUpdate(p, old), tc.want)
		})
	}
}

func check(t *testing.T, errs field.ErrorList, want []string) {
	t.Helper()
	var got []string
	for _, err := range errs {
		got = append(got, string(err.Type)+" "+err.Field)
	}
	var wanted []string
	if len(want) > 0 {
		wanted = want[:1]
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("errors (-want +got):\n%s\n%v", diff, errs)
	} else if len(want) > 0 && !strings.Contains(errs[0].Error(), want[1]) {
		t.Errorf("error %v, want %s", errs[0], want[1])
	}
}

func labelFields(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`metadata.labels["a%d"]`, i)
	}
	return all
}

func TestValidateJobUpdatePolicyStatusUpdate(t *testing.T) {
	old := valid()
	for name, tc := range map[string]struct {
		status policy.JobUpdatePolicyStatus
		want   []string
	}{
		"empty": {},
		"condition": {status: policy.JobUpdatePolicyStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{
			{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Active", LastTransitionTime: metav1.Now()},
		}}},
		"negative generation": {policy.JobUpdatePolicyStatus{ObservedGeneration: -1}, []string{"FieldValueInvalid status.observedGeneration", ""}},
		"condition without a reason": {policy.JobUpdatePolicyStatus{Conditions: []metav1.Condition{
			{Type: "Ready", Status: metav1.ConditionTrue, LastTransitionTime: metav1.Now()},
		}}, []string{"FieldValueRequired status.conditions[0].reason", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			p := valid()
			p.Status = tc.status
			check(t, ValidateJobUpdatePolicyStatusUpdate(p, old), tc.want)
		})
	}
}

// An update would drop the fields that this release does not know.
func TestValidateJobUpdatePolicyUpdate_Unsupported(t *testing.T) {
	old := valid()
	old.Status.Conditions = []metav1.Condition{{Type: "Supported", Status: metav1.ConditionFalse, Message: "unknown field spec.until"}}
	want := []string{"FieldValueForbidden spec", "unknown field spec.until"}
	check(t, ValidateJobUpdatePolicyUpdate(valid(), old), want)
	check(t, ValidateJobUpdatePolicyStatusUpdate(valid(), old), want)
}

// Otherwise a policy that was deleted in the foreground would never disappear.
func TestValidateJobUpdatePolicyUpdate_UnsupportedAndDeleted(t *testing.T) {
	old := valid()
	old.ResourceVersion = "1"
	old.DeletionTimestamp, old.Finalizers = &metav1.Time{Time: time.Unix(1, 0)}, []string{metav1.FinalizerDeleteDependents}
	old.Status.Conditions = []metav1.Condition{{Type: "Supported", Status: metav1.ConditionFalse, Message: "unknown field spec.until"}}
	finalized := old.DeepCopy()
	finalized.Finalizers = nil
	check(t, ValidateJobUpdatePolicyUpdate(finalized, old), nil)
	finalized.Spec.Fields = []string{"*"}
	check(t, ValidateJobUpdatePolicyUpdate(finalized, old), []string{"FieldValueForbidden spec", "unknown field spec.until"})
}

// The suggestions for 256 long unknown fields would take 10 seconds.
func TestValidateJobUpdatePolicy_ManyInvalidFields(t *testing.T) {
	p := valid()
	p.Spec.Fields = nil
	for i := range maxFields {
		p.Spec.Fields = append(p.Spec.Fields, fmt.Sprintf("spec.%s%d", strings.Repeat("ab", 500), i))
	}
	errs := ValidateJobUpdatePolicy(p)
	if len(errs) != maxInvalidFields || !strings.HasSuffix(errs[maxInvalidFields-1].Detail, "; the fields after it are not validated yet") {
		t.Errorf("got %d errors, want %d, and the last one must say that the others are not validated yet: %v", len(errs), maxInvalidFields, errs)
	}
}
