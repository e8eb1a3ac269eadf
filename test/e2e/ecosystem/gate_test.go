package ecosystem

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/test/framework"
)

// decided is what the gate has decided since a moment.
type decided struct {
	t       *testing.T
	read    int
	refused float64
}

// decisions begins to look at what the gate decides.
func decisions(t *testing.T) decided {
	t.Helper()
	d := decided{t: t}
	d.read, d.refused = len(d.log()), d.metric()
	return d
}

func (d decided) log() string {
	d.t.Helper()
	content, err := os.ReadFile(cluster.AuditFile())
	if err != nil {
		d.t.Fatal(err)
	}
	return string(content)
}

// metric returns how many updates of all users Batchgate has counted as refused.
func (d decided) metric() float64 {
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

// paths returns the paths that updates of the user are said to have changed, as the audit
// annotation has them: policy.batchgate.io/denied-paths, or policy.batchgate.io/warned-paths.
func (d decided) paths(user, annotation string) map[string]bool {
	d.t.Helper()
	found := map[string]bool{}
	for _, event := range d.events() {
		if event.User.Username == user && event.Annotations[annotation] != "" {
			for path := range strings.SplitSeq(event.Annotations[annotation], "; ") {
				found[path] = true
			}
		}
	}
	return found
}

func (d decided) events() []auditv1.Event {
	d.t.Helper()
	var events []auditv1.Event
	for line := range strings.Lines(d.log()[d.read:]) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var event auditv1.Event
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			d.t.Fatal(err)
		}
		events = append(events, event)
	}
	return events
}

// nothingRefused fails the test if the gate has refused an update, whoever sent it, or the
// program was answered with an error that it would not have met without Batchgate. It returns how
// many updates of Jobs the program has made.
func (d decided) nothingRefused(p *program) int {
	d.t.Helper()
	if refused := d.metric() - d.refused; refused != 0 {
		d.t.Errorf("%v updates were refused", refused)
	}
	writes := 0
	wrong := map[string]bool{} // once each: controllers try again
	for _, event := range d.events() {
		switch code := event.ResponseStatus.Code; {
		case event.Annotations["policy.batchgate.io/decision"] == "deny":
			wrong[fmt.Sprintf("%s was refused %s", event.User.Username, event.Annotations["policy.batchgate.io/denied-paths"])] = true
		case event.User.Username != p.user():
			// Others may have their own troubles.
		case code == 404 || code == 409:
			// Another one was faster.
		case code == 422 && strings.HasSuffix(event.ResponseStatus.Message, ": field is immutable"):
			// Kueue tries to restore the template from the moment that the Job is suspended;
			// upstream lets it once the Pods have ended.
		case code >= 400:
			wrong[fmt.Sprintf("%s %s was answered with %d: %.300s", event.Verb, event.RequestURI, code, event.ResponseStatus.Message)] = true
		case event.Verb == "update" || event.Verb == "patch":
			writes++
		}
	}
	for what := range wrong {
		d.t.Error(what)
	}
	d.t.Logf("%s changed Jobs %d times", p.name, writes)
	return writes
}

// example returns the example policy for the program.
func (p *program) example(t *testing.T) *v1alpha1.JobUpdatePolicy {
	t.Helper()
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, p.exampleFile()))
	if err != nil {
		t.Fatal(err)
	}
	policy := &v1alpha1.JobUpdatePolicy{}
	if err := yaml.UnmarshalStrict(content, policy); err != nil {
		t.Fatal(err)
	}
	return policy
}

func (p *program) exampleFile() string {
	return filepath.Join("artifacts", "examples", "policies", p.name+".yaml")
}

// verdict returns what the gate says to the program when it resumes a Job that nobody else
// looks at.
func (s session) verdict(p *program) string {
	s.t.Helper()
	_, stderr, err := cluster.Kubectl().Run(s.t.Context(), "--namespace="+s.namespace, "patch", "job", "canary", "--dry-run=server", "--type=merge",
		`--patch={"spec": {"suspend": false}}`, "--as="+p.user())
	switch {
	case err == nil && strings.Contains(stderr, "Warning: spec.suspend: changed with a warning"):
		return "warned"
	case err == nil:
		return "allowed"
	case strings.Contains(err.Error(), "spec.suspend: Forbidden: may not be updated"):
		return "refused"
	default:
		return err.Error()
	}
}

// waitVerdict waits until the policies in force make the gate say so.
func (s session) waitVerdict(p *program, want string) {
	s.t.Helper()
	s.eventually("have the policy in force", func() error {
		if got := s.verdict(p); got != want {
			return fmt.Errorf("an update of %s is %s, not %s", p.name, got, want)
		}
		return nil
	})
}
