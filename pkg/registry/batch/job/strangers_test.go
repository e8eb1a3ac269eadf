// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"math/rand/v2"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// A Pod that matches an accepted selector has at least one label in common with the template, or
// the Job's UID, whatever operators the selector has.
func TestValidateTransition_SelectorMatchesNoStrangers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	keys, values := []string{"a", "b", "c", "d"}, []string{"", "1", "2", "3"}
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	randomLabels := func() labels.Set {
		set := labels.Set{}
		for range random.IntN(4) {
			set[pick(keys)] = pick(values)
		}
		return set
	}
	operators := []metav1.LabelSelectorOperator{
		metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist,
	}
	randomSelector := func(manual bool, template labels.Set) *metav1.LabelSelector {
		selector := &metav1.LabelSelector{}
		if !manual {
			selector.MatchLabels = map[string]string{batch.ControllerUidLabel: uid}
		} else if random.IntN(2) == 0 {
			selector.MatchLabels = template
		}
		for range random.IntN(3) {
			r := metav1.LabelSelectorRequirement{Key: pick(keys), Operator: operators[random.IntN(len(operators))]}
			if r.Operator == metav1.LabelSelectorOpIn || r.Operator == metav1.LabelSelectorOpNotIn {
				for range 1 + random.IntN(2) {
					r.Values = append(r.Values, pick(values))
				}
			}
			selector.MatchExpressions = append(selector.MatchExpressions, r)
		}
		return selector
	}
	accepted := map[bool]int{}
	for range 1500 {
		manual := random.IntN(2) == 0
		template := randomLabels()
		template["own"] = "x" // the selector at creation
		old := storedJob(t, func(j *batch.Job) {
			j.Spec.Template.Labels = template
			if manual {
				manualSelector(j)
				j.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"own": "x"}}
			}
		})
		selector := randomSelector(manual, template)
		got := update(t, NewStrategy(bootstrapGate), "alice", old, func(j *batch.Job) { j.Spec.Selector = selector })
		if got.err != nil {
			continue
		}
		accepted[manual]++
		compiled, err := metav1.LabelSelectorAsSelector(got.stored.Spec.Selector)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if pod := randomLabels(); compiled.Matches(pod) && !haveCommonLabel(pod, got.stored.Spec.Template.Labels) {
				t.Fatalf("the selector %s of a Job whose template has the labels %s matches a Pod with the labels %s", compiled, labels.Set(template), pod)
			}
		}
	}
	if accepted[true] < 100 || accepted[false] < 100 {
		t.Errorf("%d manual and %d generated selectors were accepted, want at least 100 of each", accepted[true], accepted[false])
	}
}

func haveCommonLabel(a, b map[string]string) bool {
	for key, value := range a {
		if other, ok := b[key]; ok && other == value {
			return true
		}
	}
	return false
}
