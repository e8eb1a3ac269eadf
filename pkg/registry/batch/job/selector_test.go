// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/batch"
)

func matchLabels(labels map[string]string) jobChange {
	return func(j *batch.Job) { j.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels} }
}

func matchExpression(key string, operator metav1.LabelSelectorOperator, values ...string) jobChange {
	return func(j *batch.Job) {
		j.Spec.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
	}
}

func TestValidateTransition_GeneratedSelector(t *testing.T) {
	for name, tc := range map[string]transition{
		"UID and name": {
			send: matchLabels(map[string]string{batch.ControllerUidLabel: uid, batch.JobNameLabel: "render"}),
		},
		"legacy label": {send: matchLabels(map[string]string{batch.LegacyControllerUidLabel: uid})},
		"expression added": {send: func(j *batch.Job) {
			j.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: batch.JobNameLabel, Operator: metav1.LabelSelectorOpExists}}
		}},
		"UID removed": {
			send:   matchLabels(map[string]string{batch.JobNameLabel: "render"}),
			want:   []string{"FieldValueInvalid spec.selector.matchLabels"},
			detail: "must keep batch.kubernetes.io/controller-uid: " + uid + ", which was generated for this Job",
		},
		"empty": {
			send:   matchLabels(nil),
			want:   []string{"FieldValueInvalid spec.selector.matchLabels"},
			detail: "must keep batch.kubernetes.io/controller-uid: " + uid,
		},
		"UID of another Job": {
			send:   matchLabels(map[string]string{batch.ControllerUidLabel: "another"}),
			want:   []string{"FieldValueInvalid spec.selector"},
			detail: "spec.selector: Invalid value: `selector` not auto-generated",
		},
		// Pods of other Jobs may have the same labels as the template.
		"label of the template added": {
			send:   matchLabels(map[string]string{batch.ControllerUidLabel: uid, "app": "render"}),
			want:   []string{"FieldValueInvalid spec.selector"},
			detail: "spec.selector: Invalid value: `selector` not auto-generated",
		},
		"null": {
			send: func(j *batch.Job) { j.Spec.Selector = nil },
			want: []string{"FieldValueRequired spec.selector"},
		},
	} {
		t.Run(name, tc.test)
	}
}

func TestValidateTransition_ManualSelector(t *testing.T) {
	for name, tc := range map[string]transition{
		"different label of the template": {send: matchLabels(map[string]string{"tier": "batch"})},
		"label added":                     {send: matchLabels(map[string]string{"app": "render", "tier": "batch"})},
		// The Job controller adopts Pods that match and have no controller, and may delete them.
		"empty": {
			send:   matchLabels(nil),
			want:   []string{"FieldValueInvalid spec.selector"},
			detail: "must require the value of one of the template's labels, in matchLabels or by In with one value",
		},
		"In with one value": {send: matchExpression("tier", metav1.LabelSelectorOpIn, "batch")},
		// A Pod with the other value belongs to somebody else.
		"In with two values": {
			send: matchExpression("tier", metav1.LabelSelectorOpIn, "batch", "web"),
			want: []string{"FieldValueInvalid spec.selector"},
		},
		"label excluded": {
			send: matchExpression("tier", metav1.LabelSelectorOpNotIn, "web"),
			want: []string{"FieldValueInvalid spec.selector"},
		},
		"label with any value": {
			send: matchExpression("tier", metav1.LabelSelectorOpExists),
			want: []string{"FieldValueInvalid spec.selector"},
		},
		"label that the template does not have": {
			send:   matchLabels(map[string]string{"app": "other"}),
			want:   []string{"FieldValueInvalid spec.template.metadata.labels"},
			detail: "`selector` does not match template `labels`",
		},
		"null": {
			send: func(j *batch.Job) { j.Spec.Selector = nil },
			want: []string{"FieldValueRequired spec.selector"},
		},
		"invalid label": {
			send: matchLabels(map[string]string{"app": "a b"}),
			want: []string{"FieldValueInvalid spec.selector.matchLabels"},
		},
		"unknown operator": {
			send: func(j *batch.Job) {
				j.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Near"}}
			},
			want: []string{"FieldValueInvalid spec.selector.matchExpressions[0].operator"},
		},
		// Upstream's update validation accepts an invalid value if the stored selector has one, and it
		// gets the new selector as the stored one. So validateSelector must reject the value.
		"invalid value in an expression": {
			send: withInvalidValue,
			want: []string{"FieldValueInvalid spec.selector.matchExpressions[0].values[0]"},
		},
	} {
		tc.create = manualSelector
		t.Run(name, tc.test)
	}
}

// Pods get labels that their template does not have: the index from the Job controller, the zone
// when they are bound to a node, and others from webhooks. The Job controller releases and
// replaces Pods that do not match.
func TestValidateTransition_LabelsOutsideTemplate(t *testing.T) {
	const (
		absent = "is not one of the template's labels: the Job controller would release Pods that get it later"
		perPod = "has a different value in each Pod, whatever the template says"
		index  = "batch.kubernetes.io/job-completion-index"
		zone   = "topology.kubernetes.io/zone"
		region = "topology.kubernetes.io/region"
	)
	expression := func(key string, operator metav1.LabelSelectorOperator, values ...string) jobChange {
		return func(j *batch.Job) {
			j.Spec.Selector.MatchExpressions = append(slices.Clone(j.Spec.Selector.MatchExpressions),
				metav1.LabelSelectorRequirement{Key: key, Operator: operator, Values: values})
		}
	}
	inTemplate := func(key string) jobChange {
		return func(j *batch.Job) { j.Spec.Template.Labels[key] = "0" }
	}
	invalidExpression := []string{"FieldValueInvalid spec.selector.matchExpressions[0].key"}
	invalidLabel := []string{"FieldValueInvalid spec.selector.matchLabels"}
	for name, tc := range map[string]transition{
		"generated selector, absence of a label":                {send: expression("mesh", metav1.LabelSelectorOpDoesNotExist), want: invalidExpression, detail: absent},
		"generated selector, index excluded":                    {create: indexed, send: expression(index, metav1.LabelSelectorOpNotIn, "0"), want: invalidExpression, detail: perPod},
		"generated selector, zone excluded":                     {send: expression(zone, metav1.LabelSelectorOpNotIn, "b"), want: invalidExpression, detail: perPod},
		"generated selector, zone of the template excluded":     {create: inTemplate(zone), send: expression(zone, metav1.LabelSelectorOpNotIn, "b"), want: invalidExpression, detail: perPod},
		"manual selector, region of the template":               {create: both(manualSelector, inTemplate(region)), send: expression(region, metav1.LabelSelectorOpIn, "0"), want: invalidExpression, detail: perPod},
		"manual selector, absence of the index":                 {create: both(manualSelector, indexed), send: expression(index, metav1.LabelSelectorOpDoesNotExist), want: invalidExpression, detail: perPod},
		"manual selector, index of the template":                {create: both(manualSelector, indexed, inTemplate(index)), send: expression(index, metav1.LabelSelectorOpIn, "0"), want: invalidExpression, detail: perPod},
		"manual selector, index of the template in matchLabels": {create: both(manualSelector, indexed, inTemplate(index)), send: matchLabels(map[string]string{index: "0"}), want: invalidLabel, detail: perPod},
		"manual selector, zone of the template in matchLabels":  {create: both(manualSelector, inTemplate(zone)), send: matchLabels(map[string]string{zone: "0"}), want: invalidLabel, detail: perPod},
		"manual selector, label of the template":                {create: manualSelector, send: expression("tier", metav1.LabelSelectorOpNotIn, "web")},
		"manual selector, index label of a NonIndexed Job":      {create: both(manualSelector, inTemplate(index)), send: expression(index, metav1.LabelSelectorOpIn, "0")},
		"stored expression, completions changed":                {create: manualSelector, run: expression(zone, metav1.LabelSelectorOpDoesNotExist), send: completions(9)},
		"stored expression, label added":                        {create: manualSelector, run: expression(zone, metav1.LabelSelectorOpDoesNotExist), send: expression("tier", metav1.LabelSelectorOpExists)},
		"label that the template does not have": {
			create: manualSelector, send: matchLabels(map[string]string{"nowhere": "x"}),
			want: []string{"FieldValueInvalid spec.template.metadata.labels"}, detail: "does not match template",
		},
	} {
		t.Run(name, tc.test)
	}
}

func withInvalidValue(j *batch.Job) {
	j.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{
		{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"a b"}},
	}
}

// Jobs that were stored with an invalid value before it was validated can still be updated, as
// upstream's ratcheting validation allows.
func TestValidateTransition_StoredInvalidSelector(t *testing.T) {
	transition{create: manualSelector, run: withInvalidValue, send: parallelism(7)}.test(t)
}

// The time to validate a selector grows linearly with its expressions. If it grew with their square,
// this test would take minutes.
func TestValidateSelectorMatchesPods_ManyExpressions(t *testing.T) {
	expressions := func(operator metav1.LabelSelectorOperator, values ...string) func(*batch.Job) {
		requirement := metav1.LabelSelectorRequirement{Key: batch.JobNameLabel, Operator: operator, Values: values}
		return func(j *batch.Job) {
			j.Spec.Selector.MatchExpressions = slices.Repeat([]metav1.LabelSelectorRequirement{requirement}, 30_000)
		}
	}
	old := storedJob(t)
	expressions(metav1.LabelSelectorOpExists)(old)
	if got := update(t, NewStrategy(bootstrapGate), "alice", old, expressions(metav1.LabelSelectorOpIn, "render")); got.err != nil {
		t.Fatal(got.err)
	}
}
