// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/batchgate/batchgate/test/framework"
)

// focus selects all specs of Jobs and CronJobs, and other specs about batch/v1.
var focus = []string{
	`\[sig-api-machinery\] (Aggregated)?Discovery `,
	`\[sig-api-machinery\] OpenAPIV3 should round trip OpenAPI V3 for all built-in group versions`,
	`\[sig-apps\] (Job|CronJob|TTLAfterFinished) `,
	`\[sig-api-machinery\] Garbage collector should delete jobs and pods created by cronjob`,
	`\[sig-api-machinery\] Generated clientset should create v1 cronJobs`,
	`\[sig-cli\] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for cronjob`,
}

// gatedFields are the specs that update fields which are not updatable by default, and these fields. The
// gate must deny the updates. The specs must pass for a user to whom a policy grants the fields, see grants.
var gatedFields = map[string][]string{
	"Job should not create pods when created in suspend state":                              {"spec.suspend"},
	"Job should delete pods when suspended":                                                 {"spec.suspend"},
	"Job should update the status ready field":                                              {"spec.suspend"},
	"Job should manage the lifecycle of a job":                                              {`metadata.annotations["updated"]`, "spec.suspend"},
	"Job should apply changes to a job status":                                              {`metadata.annotations["patchedstatus"]`},
	"Job should allow updating pod resources for a suspended job":                           {containerResources, "spec.suspend"},
	"Job should allow updating pod resources for a job that started and then was suspended": {containerResources, "spec.suspend"},
	"Job should propagate an elastic gang minCount change to the Workload and PodGroup":     {"spec.scheduling.schedulingPolicy.gang.minCount"},
	ttlSpec: {"metadata.finalizers"},
}

const (
	containerResources = "spec.template.spec.containers[*].resources"

	// ttlSpec retries for 15 minutes an update that the gate denies.
	ttlSpec = "TTLAfterFinished job should be deleted once it finishes after TTL seconds"
	// suspendedCronJobSpec watches for 5 minutes.
	suspendedCronJobSpec = "CronJob should not schedule jobs when suspended"
)

// slowSpecs take minutes.
var slowSpecs = []string{ttlSpec, suspendedCronJobSpec}

// notPassingNatively are the specs that fail without Batchgate too, and the reasons.
var notPassingNatively = map[string]string{}

func init() {
	if framework.ControlPlaneIs("1.36") {
		notPassingNatively["Job should create Workload and PodGroup for gang-eligible Job"] = "needs alpha APIs that are not enabled"
	}
}

// matchNames returns regular expressions that select the specs.
func matchNames(names ...string) []string {
	var expressions []string
	for _, name := range names {
		expressions = append(expressions, regexp.QuoteMeta(name)+`( \[|$)`)
	}
	return expressions
}

// grant is a set of fields granted to one user, and the specs that must pass for this user.
type grant struct{ fields, specs []string }

// withoutOneField returns a grant for each field that lacks this field. There are none for a single field.
func (g grant) withoutOneField() []grant {
	if len(g.fields) == 1 {
		return nil
	}
	var grants []grant
	for i := range g.fields {
		grants = append(grants, grant{fields: slices.Delete(slices.Clone(g.fields), i, i+1), specs: g.specs})
	}
	return grants
}

// grants returns a grant for each distinct list of fields in gatedFields, so that a spec with an incomplete
// list fails. Each grant needs a separate run of ginkgo.
func grants() []grant {
	byFields := map[string]grant{}
	for _, name := range slices.Sorted(maps.Keys(gatedFields)) {
		key := strings.Join(gatedFields[name], ",")
		byFields[key] = grant{fields: gatedFields[name], specs: append(byFields[key].specs, name)}
	}
	var grants []grant
	for _, key := range slices.Sorted(maps.Keys(byFields)) {
		grants = append(grants, byFields[key])
	}
	return grants
}
