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

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

var (
	kueue = &program{
		name:      "kueue",
		module:    "sigs.k8s.io/kueue",
		certifies: true,
		// This server writes to a directory of the root.
		configuration: object{"featureGates": object{"VisibilityOnDemand": false}},
	}
	jobset = &program{
		name:   "jobset",
		module: "sigs.k8s.io/jobset",
		// It would read its certificate from a directory that every copy of it has in common.
		configuration: object{"internalCertManagement": object{"enable": false}},
	}
)

// install has both programs run beside each other. JobSet comes first: Kueue looks for it.
func install(t *testing.T) {
	t.Helper()
	jobset.install(t)
	kueue.install(t)
}

// scenario is something that a program does.
type scenario struct {
	name string
	run  func(session)
}

// prove puts the program through its scenarios twice. In the dry run, whose policy is the example
// with another action, the gate names all that it lets through: each field of the example must be
// among it. As it is shipped, the example must be enough.
func (p *program) prove(t *testing.T, scenarios []scenario) {
	t.Run("AsADryRun", func(t *testing.T) {
		dry := p.example(t)
		dry.Spec.Action = v1alpha1.Warn
		d := p.goThrough(t, dry, "warned", scenarios)
		warned := d.paths(p.user(), "policy.batchgate.io/warned-paths")
		for _, field := range dry.Spec.Fields {
			if !covers(field, warned) {
				t.Errorf("%s grants %s, which %s did not need; it changed %v", p.exampleFile(), field, p.name, warned)
			}
		}
	})
	t.Run("AsShipped", func(t *testing.T) {
		d := p.goThrough(t, p.example(t), "allowed", scenarios)
		if warned := d.paths(p.user(), "policy.batchgate.io/warned-paths"); len(warned) > 0 {
			t.Errorf("%s was warned of %v", p.name, warned)
		}
	})
}

func (p *program) goThrough(t *testing.T, policy *v1alpha1.JobUpdatePolicy, verdict string, scenarios []scenario) decided {
	t.Helper()
	s := newSession(t)
	s.createCanary()
	s.grant(policy)
	s.waitVerdict(p, verdict)
	d := decisions(t)
	runAll(t, scenarios)
	if d.nothingRefused(p) == 0 {
		t.Errorf("the audit log has no update of a Job by %s", p.user())
	}
	return d
}

func runAll(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) { scenario.run(newSession(t)) })
	}
}

// covers reports whether one of the paths is the field, or below it.
func covers(field string, paths map[string]bool) bool {
	for path := range paths {
		if rest, ok := strings.CutPrefix(path, field); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// createCanary creates the Job that verdict asks about. It looks like one of a JobSet, whose
// example is for those only.
func (s session) createCanary() {
	s.t.Helper()
	s.createJob(newJob("canary", 1, func(j *batchv1.Job) {
		j.Labels["jobset.sigs.k8s.io/jobset-name"] = "none"
		j.Spec.Suspend = ptr.To(true)
	}))
}

// grant applies the policy, for the time of the test.
func (s session) grant(policy *v1alpha1.JobUpdatePolicy) {
	s.t.Helper()
	content, err := yaml.Marshal(policy)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { revoke(context.Background(), s.t, policy) })
	if _, _, err := cluster.Kubectl().WithStdin(string(content)).Run(s.t.Context(), "apply", "--server-side", "--filename=-"); err != nil {
		s.t.Fatal(err)
	}
}

func revoke(ctx context.Context, t *testing.T, policy *v1alpha1.JobUpdatePolicy) {
	t.Helper()
	if _, _, err := cluster.Kubectl().Run(ctx, "delete", "jobupdatepolicy", policy.Name, "--ignore-not-found"); err != nil {
		t.Error(err)
	}
}

// refusedAt waits until the gate has refused the program an update that would have changed all of
// the paths, and the program has said so in its log.
func (s session) refusedAt(p *program, d decided, paths ...string) {
	s.t.Helper()
	s.eventually("be refused", func() error {
		refused := d.paths(p.user(), "policy.batchgate.io/denied-paths")
		for _, path := range paths {
			if !covers(path, refused) {
				return fmt.Errorf("%s was refused %v, and not %s", p.name, refused, path)
			}
		}
		return p.logged(paths[0] + ": Forbidden: may not be updated; updatable fields are ")
	})
	if err := p.logged("no JobUpdatePolicy grants it to"); err != nil {
		s.t.Error(err)
	}
}

// untouched fails the test if the spec of the Job is another one by now.
func (s session) untouched(job *batchv1.Job) {
	s.t.Helper()
	if diff := cmp.Diff(job.Spec, s.job(job.Name).Spec); diff != "" {
		s.t.Errorf("a refused update has changed %s:\n%s", job.Name, diff)
	}
}
