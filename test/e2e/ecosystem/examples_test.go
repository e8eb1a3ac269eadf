// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

var (
	kueue = &program{
		name:         "kueue",
		module:       "sigs.k8s.io/kueue",
		managesCerts: true,
		// The visibility server would write to a directory under /.
		configuration: object{"featureGates": object{"VisibilityOnDemand": false}},
	}
	jobset = &program{
		name:   "jobset",
		module: "sigs.k8s.io/jobset",
		// With its own certificate management, it reads the certificate from a fixed directory.
		configuration: object{"internalCertManagement": object{"enable": false}},
	}
)

// installPrograms starts both programs. JobSet comes first, because Kueue looks for its CRD at startup.
func installPrograms(t *testing.T) {
	t.Helper()
	jobset.install(t)
	kueue.install(t)
}

// scenario is a workflow that a program supports.
type scenario struct {
	name string
	run  func(session)
}

// testExamplePolicy runs the scenarios twice. First with the action Warn, so that warnings name all fields
// that the program changes: it must change every field that the example grants. Then with the example as
// shipped, which must suffice.
func (p *program) testExamplePolicy(t *testing.T, scenarios []scenario) {
	t.Run("example with action Warn", func(t *testing.T) {
		example := p.examplePolicy(t)
		example.Spec.Action = v1alpha1.Warn
		d := p.runScenarios(t, example, "warn", scenarios)
		warned := d.paths(p.user(), policy.AuditWarnedPaths)
		for _, field := range example.Spec.Fields {
			if !covers(field, warned) {
				t.Errorf("%s grants %s, but %s changed only %v", p.exampleFile(), field, p.name, warned)
			}
		}
	})
	t.Run("example as shipped", func(t *testing.T) {
		d := p.runScenarios(t, p.examplePolicy(t), "allow", scenarios)
		if warned := d.paths(p.user(), policy.AuditWarnedPaths); len(warned) > 0 {
			t.Errorf("%s got warnings about %v", p.name, warned)
		}
	})
}

func (p *program) runScenarios(t *testing.T, jup *v1alpha1.JobUpdatePolicy, decision string, scenarios []scenario) gateDecisions {
	t.Helper()
	s := newSession(t)
	s.createCanary()
	s.grant(jup)
	s.awaitDecision(p, decision)
	d := watchDecisions(t)
	runSubtests(t, scenarios)
	if d.expectNoneDenied(p) == 0 {
		t.Errorf("the audit log has no updates by %s", p.user())
	}
	return d
}

func runSubtests(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) { scenario.run(newSession(t)) })
	}
}

// covers reports whether one of the paths is the field or a part of it.
func covers(field string, paths map[string]bool) bool {
	for path := range paths {
		if rest, ok := strings.CutPrefix(path, field); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// createCanary creates the Job that dryRunDecision updates. It has a JobSet's label, because the example for
// JobSet applies only to its Jobs.
func (s session) createCanary() {
	s.t.Helper()
	s.createJob(newJob("canary", 1, func(j *batchv1.Job) {
		j.Labels["jobset.sigs.k8s.io/jobset-name"] = "none"
		j.Spec.Suspend = ptr.To(true)
	}))
}

// grant applies the policy until the test ends.
func (s session) grant(jup *v1alpha1.JobUpdatePolicy) {
	s.t.Helper()
	content, err := yaml.Marshal(jup)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { revoke(context.Background(), s.t, jup) })
	if _, _, err := cluster.Kubectl().WithStdin(string(content)).Run(s.t.Context(), "apply", "--server-side", "--filename=-"); err != nil {
		s.t.Fatal(err)
	}
}

func revoke(ctx context.Context, t *testing.T, jup *v1alpha1.JobUpdatePolicy) {
	t.Helper()
	if _, _, err := cluster.Kubectl().Run(ctx, "delete", "jobupdatepolicy", jup.Name, "--ignore-not-found"); err != nil {
		t.Error(err)
	}
}

// awaitDenied waits until the gate has denied updates of all of the paths, and the program has logged the
// denial.
func (s session) awaitDenied(p *program, d gateDecisions, paths ...string) {
	s.t.Helper()
	s.eventually("be denied", func() error {
		denied := d.paths(p.user(), policy.AuditDeniedPaths)
		for _, path := range paths {
			if !covers(path, denied) {
				return fmt.Errorf("%s was denied updates of %v, but not of %s", p.name, denied, path)
			}
		}
		return p.logContains(paths[0] + ": Forbidden: may not be updated")
	})
	if err := p.logContains("no JobUpdatePolicy grants this change to"); err != nil {
		s.t.Error(err)
	}
}

// expectSpecUnchanged fails the test if the spec of the stored Job differs.
func (s session) expectSpecUnchanged(job *batchv1.Job) {
	s.t.Helper()
	if diff := cmp.Diff(job.Spec, s.job(job.Name).Spec); diff != "" {
		s.t.Errorf("a denied update changed %s:\n%s", job.Name, diff)
	}
}
