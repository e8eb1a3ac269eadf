package job

import (
	"testing"

	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// gang makes the Pods of a Job one gang. The field is there behind a feature gate only.
func gang(minCount *int32) jobChange {
	return func(j *batch.Job) {
		j.Spec.Scheduling = &batch.JobSchedulingConfiguration{SchedulingPolicy: &schedulingv1alpha3.WorkloadPodGroupSchedulingPolicy{
			Gang: &schedulingv1alpha3.WorkloadPodGroupGangSchedulingPolicy{MinCount: minCount},
		}}
	}
}

func TestCompletionsOfAGangEqualItsParallelism(t *testing.T) {
	one, two := int32(1), int32(2)
	for name, tc := range map[string]struct {
		job     jobChange
		refused bool
	}{
		"no gang":                         {both(parallelism(2), completions(3)), false},
		"another policy":                  {both(parallelism(2), completions(3), basic), false},
		"in tandem":                       {both(parallelism(3), completions(3), gang(nil)), false},
		"more than at once":               {both(parallelism(2), completions(3), gang(nil)), true},
		"fewer than at once":              {both(parallelism(3), completions(2), gang(nil)), true},
		"any number":                      {both(parallelism(3), noCompletions, gang(nil)), true},
		"one at a time":                   {both(parallelism(1), completions(3), gang(nil)), false},
		"none at a time":                  {both(parallelism(0), completions(3), gang(nil)), false},
		"one is enough":                   {both(parallelism(2), completions(3), gang(&one)), false},
		"two are needed":                  {both(parallelism(3), completions(4), gang(&two)), true},
		"two are needed, and all in step": {both(parallelism(4), completions(4), gang(&two)), false},
	} {
		t.Run(name, func(t *testing.T) {
			job := storedJob(t)
			tc.job(job)
			errs := validateGangFits(job)
			if refused := len(errs) > 0; refused != tc.refused {
				t.Errorf("refused is %t, want %t: %v", refused, tc.refused, errs)
			}
			for _, err := range errs {
				if err.Field != "spec.completions" {
					t.Errorf("the error is about %s", err.Field)
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
