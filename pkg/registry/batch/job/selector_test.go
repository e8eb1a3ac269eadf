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

func TestGeneratedSelectorKeepsTheLabelsOfItsJob(t *testing.T) {
	for name, tc := range map[string]transition{
		"the job's name besides": {
			send: matchLabels(map[string]string{batch.ControllerUidLabel: uid, batch.JobNameLabel: "render"}),
		},
		"the legacy label instead": {send: matchLabels(map[string]string{batch.LegacyControllerUidLabel: uid})},
		"an expression besides": {send: func(j *batch.Job) {
			j.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: batch.JobNameLabel, Operator: metav1.LabelSelectorOpExists}}
		}},
		"without the UID": {
			send:   matchLabels(map[string]string{batch.JobNameLabel: "render"}),
			want:   []string{"FieldValueInvalid spec.selector.matchLabels"},
			detail: "must keep batch.kubernetes.io/controller-uid: " + uid + ", which was generated for this Job",
		},
		"empty": {
			send:   matchLabels(nil),
			want:   []string{"FieldValueInvalid spec.selector.matchLabels"},
			detail: "must keep batch.kubernetes.io/controller-uid: " + uid,
		},
		"the UID of another": {
			send:   matchLabels(map[string]string{batch.ControllerUidLabel: "another"}),
			want:   []string{"FieldValueInvalid spec.selector"},
			detail: "spec.selector: Invalid value: `selector` not auto-generated",
		},
		// The labels of the template are not generated: other Jobs may have them too.
		"a label of the template besides": {
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

func TestManualSelectorMayChangeToAnyThatMatchesTheTemplate(t *testing.T) {
	for name, tc := range map[string]transition{
		"another label of the template": {send: matchLabels(map[string]string{"tier": "batch"})},
		"more labels":                   {send: matchLabels(map[string]string{"app": "render", "tier": "batch"})},
		// The Job controller adopts, and may then delete, Pods that match and have no controller.
		"none": {
			send:   matchLabels(nil),
			want:   []string{"FieldValueRequired spec.selector"},
			detail: "an empty selector would claim every Pod of the namespace that has no controller",
		},
		"no label that the template has": {
			send:   matchLabels(map[string]string{"app": "other"}),
			want:   []string{"FieldValueInvalid spec.template.metadata.labels"},
			detail: "`selector` does not match template `labels`",
		},
		"null": {
			send: func(j *batch.Job) { j.Spec.Selector = nil },
			want: []string{"FieldValueRequired spec.selector"},
		},
		"an invalid label": {
			send: matchLabels(map[string]string{"app": "a b"}),
			want: []string{"FieldValueInvalid spec.selector.matchLabels"},
		},
		"an unknown operator": {
			send: func(j *batch.Job) {
				j.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Near"}}
			},
			want: []string{"FieldValueInvalid spec.selector.matchExpressions[0].operator"},
		},
		// Upstream lets an invalid value pass where the stored selector has one; it must
		// not take the new selector for the stored one.
		"an invalid value in an expression": {
			send: withInvalidValue,
			want: []string{"FieldValueInvalid spec.selector.matchExpressions[0].values[0]"},
		},
	} {
		tc.create = manualSelector
		t.Run(name, tc.test)
	}
}

// The Job controller puts the index into the labels of the Pods, their binding the zone, and
// webhooks what they like. A Pod that does not match is given up and replaced.
func TestSelectorMayNotAskForWhatIsNotTheTemplates(t *testing.T) {
	const (
		absent = "is not one of the template's labels: the Job controller would let go of Pods that get it later"
		own    = "has a value of its own in each Pod, whatever the template says"
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
	refusedExpression := []string{"FieldValueInvalid spec.selector.matchExpressions[0].key"}
	refusedLabel := []string{"FieldValueInvalid spec.selector.matchLabels"}
	for name, tc := range map[string]transition{
		"generated, without a label of webhooks":   {send: expression("mesh", metav1.LabelSelectorOpDoesNotExist), want: refusedExpression, detail: absent},
		"generated, without some indexes":          {create: indexed, send: expression(index, metav1.LabelSelectorOpNotIn, "0"), want: refusedExpression, detail: own},
		"generated, not in a zone":                 {send: expression(zone, metav1.LabelSelectorOpNotIn, "b"), want: refusedExpression, detail: own},
		"generated, not in the template's zone":    {create: inTemplate(zone), send: expression(zone, metav1.LabelSelectorOpNotIn, "b"), want: refusedExpression, detail: own},
		"manual, in the template's region":         {create: both(manualSelector, inTemplate(region)), send: expression(region, metav1.LabelSelectorOpIn, "0"), want: refusedExpression, detail: own},
		"manual, without an index":                 {create: both(manualSelector, indexed), send: expression(index, metav1.LabelSelectorOpDoesNotExist), want: refusedExpression, detail: own},
		"manual, the template's index":             {create: both(manualSelector, indexed, inTemplate(index)), send: expression(index, metav1.LabelSelectorOpIn, "0"), want: refusedExpression, detail: own},
		"manual, the template's index as a label":  {create: both(manualSelector, indexed, inTemplate(index)), send: matchLabels(map[string]string{index: "0"}), want: refusedLabel, detail: own},
		"manual, the template's zone as a label":   {create: both(manualSelector, inTemplate(zone)), send: matchLabels(map[string]string{zone: "0"}), want: refusedLabel, detail: own},
		"manual, a label of the template":          {create: manualSelector, send: expression("tier", metav1.LabelSelectorOpNotIn, "web")},
		"manual, the index of no Indexed Job":      {create: both(manualSelector, inTemplate(index)), send: expression(index, metav1.LabelSelectorOpIn, "0")},
		"stored already, and completions alone":    {create: manualSelector, run: expression(zone, metav1.LabelSelectorOpDoesNotExist), send: completions(9)},
		"stored already, and another label beside": {create: manualSelector, run: expression(zone, metav1.LabelSelectorOpDoesNotExist), send: expression("tier", metav1.LabelSelectorOpExists)},
		"a label that the template has not": {
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

// Jobs that are stored with an invalid value, from a time when that was not checked, can
// still be updated: upstream's ratcheting.
func TestStoredInvalidSelectorDoesNotStopOtherUpdates(t *testing.T) {
	transition{create: manualSelector, run: withInvalidValue, send: parallelism(7)}.test(t)
}
