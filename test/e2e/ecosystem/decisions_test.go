// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/test/framework"
)

// gateDecisions reads the decisions of the gate since watchDecisions was called.
type gateDecisions struct {
	t            *testing.T
	auditOffset  int
	deniedBefore float64
}

func watchDecisions(t *testing.T) gateDecisions {
	t.Helper()
	d := gateDecisions{t: t}
	_, d.auditOffset = d.readAuditLog()
	d.deniedBefore = d.deniedCount()
	return d
}

// deniedCount returns the number of denied updates of all users from the metrics.
func (d gateDecisions) deniedCount() float64 {
	d.t.Helper()
	client, err := kubernetes.NewForConfig(cluster.DirectConfig())
	if err != nil {
		d.t.Fatal(err)
	}
	metrics, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(string(metrics)) {
		if strings.HasPrefix(line, "batchgate_job_update_decisions_total{") && strings.Contains(line, `decision="deny"`) {
			fields := strings.Fields(line)
			n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				d.t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

// paths returns the paths in an audit annotation, policy.AuditDeniedPaths or policy.AuditWarnedPaths, of all
// updates by the user.
func (d gateDecisions) paths(user, annotation string) map[string]bool {
	d.t.Helper()
	found := map[string]bool{}
	for _, event := range d.auditEvents() {
		if event.User.Username == user && event.Annotations[annotation] != "" {
			for path := range strings.SplitSeq(event.Annotations[annotation], "; ") {
				found[path] = true
			}
		}
	}
	return found
}

func (d gateDecisions) auditEvents() []auditv1.Event {
	d.t.Helper()
	events, _ := d.readAuditLog()
	return events
}

func (d gateDecisions) readAuditLog() (events []auditv1.Event, end int) {
	d.t.Helper()
	events, end, err := cluster.AuditEvents(d.auditOffset, "")
	if err != nil {
		d.t.Fatal(err)
	}
	return events, end
}

// expectNoneDenied fails the test if the gate denied an update by any user, or if the program got an error
// that it does not get without Batchgate. It returns the number of successful updates by the program.
func (d gateDecisions) expectNoneDenied(p *program) int {
	d.t.Helper()
	if denied := d.deniedCount() - d.deniedBefore; denied != 0 {
		d.t.Errorf("%v updates were denied", denied)
	}
	writes := 0
	problems := map[string]bool{} // a set, because controllers retry
	for _, event := range d.auditEvents() {
		switch code := event.ResponseStatus.Code; {
		case event.Annotations[policy.AuditDecision] == "deny":
			problems[fmt.Sprintf("%s was denied an update of %s", event.User.Username, event.Annotations[policy.AuditDeniedPaths])] = true
		case event.User.Username != p.user():
			// Errors of other clients do not matter.
		case code == 404 || code == 409:
			// Another client was faster.
		case code == 422 && strings.HasSuffix(event.ResponseStatus.Message, ": field is immutable"):
			// Kueue restores the template as soon as the Job is suspended. Upstream allows it only after
			// the Pods have ended.
		case code >= 400:
			problems[fmt.Sprintf("%s %s got %d: %.300s", event.Verb, event.RequestURI, code, event.ResponseStatus.Message)] = true
		case event.Verb == "update" || event.Verb == "patch":
			writes++
		}
	}
	for problem := range problems {
		d.t.Error(problem)
	}
	d.t.Logf("%s changed Jobs %d times", p.name, writes)
	return writes
}

func (p *program) examplePolicy(t *testing.T) *v1alpha1.JobUpdatePolicy {
	t.Helper()
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, p.exampleFile()))
	if err != nil {
		t.Fatal(err)
	}
	example := &v1alpha1.JobUpdatePolicy{}
	if err := yaml.UnmarshalStrict(content, example); err != nil {
		t.Fatal(err)
	}
	return example
}

func (p *program) exampleFile() string {
	return filepath.Join("artifacts", "examples", "policies", p.name+".yaml")
}

// dryRunDecision returns the decision of the gate if the program resumes the canary Job: allow, warn, deny, or
// an unexpected error.
func (s session) dryRunDecision(p *program) string {
	s.t.Helper()
	_, stderr, err := cluster.Kubectl().Run(s.t.Context(), "--namespace="+s.namespace, "patch", "job", "canary", "--dry-run=server", "--type=merge",
		`--patch={"spec": {"suspend": false}}`, "--as="+p.user())
	switch {
	case err == nil && strings.Contains(stderr, "Warning: spec.suspend: changed; only granted with the action Warn"):
		return "warn"
	case err == nil:
		return "allow"
	case strings.Contains(err.Error(), "spec.suspend: Forbidden: may not be updated"):
		return "deny"
	default:
		return err.Error()
	}
}

// awaitDecision waits until the active policies result in the decision.
func (s session) awaitDecision(p *program, want string) {
	s.t.Helper()
	s.eventually("have the policy active", func() error {
		if got := s.dryRunDecision(p); got != want {
			return fmt.Errorf("the decision for an update by %s is %s, want %s", p.name, got, want)
		}
		return nil
	})
}
