// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"testing"

	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// gang schedules the Pods of a Job as a gang. The API only serves the field behind a feature
// gate.
func gang(minCount *int32) jobChange {
	return func(j *batch.Job) {
		j.Spec.Scheduling = &batch.JobSchedulingConfiguration{SchedulingPolicy: &schedulingv1alpha3.WorkloadPodGroupSchedulingPolicy{
			Gang: &schedulingv1alpha3.WorkloadPodGroupGangSchedulingPolicy{MinCount: minCount},
		}}
	}
}

func TestValidateGang(t *testing.T) {
	one, two := int32(1), int32(2)
	for name, tc := range map[string]struct {
		job      jobChange
		rejected bool
	}{
		"no gang":                             {both(parallelism(2), completions(3)), false},
		"basic policy":                        {both(parallelism(2), completions(3), basic), false},
		"completions equal to parallelism":    {both(parallelism(3), completions(3), gang(nil)), false},
		"completions above parallelism":       {both(parallelism(2), completions(3), gang(nil)), true},
		"completions below parallelism":       {both(parallelism(3), completions(2), gang(nil)), true},
		"no completions":                      {both(parallelism(3), noCompletions, gang(nil)), true},
		"parallelism one":                     {both(parallelism(1), completions(3), gang(nil)), false},
		"parallelism zero":                    {both(parallelism(0), completions(3), gang(nil)), false},
		"minCount one":                        {both(parallelism(2), completions(3), gang(&one)), false},
		"minCount two":                        {both(parallelism(3), completions(4), gang(&two)), true},
		"minCount two with equal completions": {both(parallelism(4), completions(4), gang(&two)), false},
	} {
		t.Run(name, func(t *testing.T) {
			job := storedJob(t)
			tc.job(job)
			errs := validateGang(job)
			if rejected := len(errs) > 0; rejected != tc.rejected {
				t.Errorf("rejected: %t, want %t: %v", rejected, tc.rejected, errs)
			}
			for _, err := range errs {
				if err.Field != "spec.completions" {
					t.Errorf("the error names %s", err.Field)
				}
			}
		})
	}
}

func noCompletions(j *batch.Job) { j.Spec.Completions = nil }

func basic(j *batch.Job) {
	j.Spec.Scheduling = &batch.JobSchedulingConfiguration{SchedulingPolicy: &schedulingv1alpha3.WorkloadPodGroupSchedulingPolicy{
		Basic: &schedulingv1alpha3.WorkloadPodGroupBasicSchedulingPolicy{},
	}}
}
