package upstream

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// focus selects the specs: all of jobs, and those of other groups that are about batch/v1.
var focus = []string{
	`\[sig-api-machinery\] (Aggregated)?Discovery `,
	`\[sig-api-machinery\] OpenAPIV3 should round trip OpenAPI V3 for all built-in group versions`,
	`\[sig-apps\] (Job|CronJob|TTLAfterFinished) `,
	`\[sig-api-machinery\] Garbage collector should delete jobs and pods created by cronjob`,
	`\[sig-api-machinery\] Generated clientset should create v1 cronJobs`,
	`\[sig-cli\] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for cronjob`,
}

// gated are the specs that update more than is updatable by default, with what they update. The
// gate must refuse them, and they must pass for a user to whom those fields are granted; see grants.
var gated = map[string][]string{
	"Job should not create pods when created in suspend state":                              {"spec.suspend"},
	"Job should delete pods when suspended":                                                 {"spec.suspend"},
	"Job should update the status ready field":                                              {"spec.suspend"},
	"Job should manage the lifecycle of a job":                                              {`metadata.annotations["updated"]`, "spec.suspend"},
	"Job should apply changes to a job status":                                              {`metadata.annotations["patchedstatus"]`},
	"Job should allow updating pod resources for a suspended job":                           {resources, "spec.suspend"},
	"Job should allow updating pod resources for a job that started and then was suspended": {resources, "spec.suspend"},
	"Job should propagate an elastic gang minCount change to the Workload and PodGroup":     {"spec.scheduling.schedulingPolicy.gang.minCount"},
	ttlSpec: {"metadata.finalizers"},
}

const (
	resources = "spec.template.spec.containers[*].resources"

	// This one tries for 15 minutes what the gate refuses.
	ttlSpec = "TTLAfterFinished job should be deleted once it finishes after TTL seconds"
	// This one looks on for 5 minutes.
	suspendedCronJobSpec = "CronJob should not schedule jobs when suspended"
)

// slow are the specs that take minutes.
var slow = []string{ttlSpec, suspendedCronJobSpec}

// notRunnable are the specs that do not even pass natively, with the reason.
var notRunnable = map[string]string{}

// exactly returns the expressions that select the specs.
func exactly(names ...string) []string {
	var expressions []string
	for _, name := range names {
		expressions = append(expressions, regexp.QuoteMeta(name)+`( \[|$)`)
	}
	return expressions
}

// grant is what one user may update, and the specs that must pass for this user.
type grant struct{ fields, specs []string }

// without returns the grants of all fields but one each; none of a single field.
func (g grant) without() []grant {
	if len(g.fields) == 1 {
		return nil
	}
	var grants []grant
	for i := range g.fields {
		grants = append(grants, grant{fields: slices.Delete(slices.Clone(g.fields), i, i+1), specs: g.specs})
	}
	return grants
}

// grants returns one for each distinct list of fields in gated, so that a spec whose list lacks
// a field does not pass. Each is a call of ginkgo of its own.
func grants() []grant {
	byFields := map[string]grant{}
	for _, name := range slices.Sorted(maps.Keys(gated)) {
		key := strings.Join(gated[name], ",")
		byFields[key] = grant{fields: gated[name], specs: append(byFields[key].specs, name)}
	}
	var grants []grant
	for _, key := range slices.Sorted(maps.Keys(byFields)) {
		grants = append(grants, byFields[key])
	}
	return grants
}
