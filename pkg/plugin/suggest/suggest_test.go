// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimachineryvalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// logged is an update in an audit log.
type logged struct {
	user, namespace string
	groups          []string
	decision        string
	paths           []string
	labels          map[string]string
	code            int
}

func (e logged) line(t testing.TB, second int) string {
	t.Helper()
	annotations := map[string]string{policy.AuditDecision: e.decision}
	switch e.decision {
	case "deny":
		annotations[policy.AuditDeniedPaths] = strings.Join(e.paths, "; ")
	case "warn":
		annotations[policy.AuditWarnedPaths] = strings.Join(e.paths, "; ")
	}
	if e.labels != nil {
		text, err := json.Marshal(e.labels)
		if err != nil {
			t.Fatal(err)
		}
		annotations[policy.AuditJobLabels] = string(text)
	}
	line, err := json.Marshal(map[string]any{
		"kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete",
		"user":                     map[string]any{"username": e.user, "groups": e.groups},
		"objectRef":                map[string]any{"resource": "jobs", "namespace": e.namespace, "name": "pi"},
		"responseStatus":           map[string]any{"code": e.code},
		"requestReceivedTimestamp": time.Date(2026, 3, 1, 10, 0, second, 0, time.UTC).Format(time.RFC3339Nano),
		"annotations":              annotations,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

func read(t testing.TB, events ...logged) *Log {
	t.Helper()
	var text strings.Builder
	text.WriteString("I0301 10:00:00.0 1 server.go:1] \"Serving\"\n")
	for i, e := range events {
		text.WriteString(e.line(t, i))
	}
	l := NewLog("")
	if err := l.Read(strings.NewReader(text.String()), func(int) {}); err != nil {
		t.Fatal(err)
	}
	return l
}

// specs returns the specs of the suggested policies as YAML.
func specs(t *testing.T, suggestions []Suggestion) string {
	t.Helper()
	var all []string
	for _, s := range suggestions {
		text, err := yaml.Marshal(s.Policy.Spec)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return strings.Join(all, "\n")
}

func TestLog_Suggest(t *testing.T) {
	flux := "system:serviceaccount:flux-system:kustomize-controller"
	for name, tc := range map[string]struct {
		events []logged
		want   string
	}{
		"one user": {[]logged{
			{user: "alice", namespace: "dev", decision: "deny", paths: []string{"spec.suspend"}, labels: map[string]string{"app": "a", "team": "x"}},
			{user: "alice", namespace: "dev", decision: "warn", paths: []string{"spec.backoffLimit"}, labels: map[string]string{"app": "b", "team": "x"}, code: 200},
		}, `action: Allow
fields:
- spec.backoffLimit
- spec.suspend
jobSelector:
  matchLabels:
    team: x
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: dev
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: alice
`},
		"users and namespaces in one policy": {[]logged{
			{user: "alice", namespace: "dev", decision: "deny", paths: []string{"spec.suspend"}},
			{user: "alice", namespace: "test", decision: "deny", paths: []string{"spec.suspend"}},
			{user: flux, namespace: "dev", decision: "deny", paths: []string{"spec.suspend"}},
			{user: flux, namespace: "test", decision: "deny", paths: []string{"spec.suspend"}},
		}, `action: Allow
fields:
- spec.suspend
namespaceSelector:
  matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values:
    - dev
    - test
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: alice
- kind: ServiceAccount
  name: kustomize-controller
  namespace: flux-system
`},
		"Kubernetes rejected the update": {[]logged{
			{user: "alice", namespace: "dev", decision: "warn", paths: []string{"spec.template.spec.hostNetwork"}, code: 422},
		}, ""},
		"nothing to grant": {[]logged{{user: "alice", namespace: "dev", decision: "allow", code: 200}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := read(t, tc.events...)
			if diff := cmp.Diff(tc.want, specs(t, l.Suggest())); diff != "" || len(l.Problems) > 0 {
				t.Errorf("problems %q; policies (-want +got):\n%s", l.Problems, diff)
			}
		})
	}
}

func TestLog_Problems(t *testing.T) {
	l := read(t,
		logged{user: "alice", namespace: "dev", decision: "deny", paths: []string{`metadata.annotations["a; b"]`, "12 more"}},
		logged{user: "bob", namespace: "dev", decision: "deny"},
		logged{user: "carol", namespace: "dev", decision: "deny", paths: []string{"status"}},
	)
	if err := l.Read(strings.NewReader(`{"annotations":{"policy.batchgate.io/decision":"deny",`), nil); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`an update of "alice" changes 12 more fields than the event lists`,
		`an update of "bob" was denied without a path`,
		"no policy can grant this change: status cannot be granted: it is updated through the status subresource, which the gate leaves to RBAC",
		`a line with a decision is not an audit event in JSON: "{\"annotations\":{\"policy.batchgate.io/decision\":\"deny\","`,
	}
	if diff := cmp.Diff(want, l.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if got := l.Suggest(); len(got) != 1 || got[0].Policy.Spec.Fields[0] != `metadata.annotations["a; b"]` {
		t.Errorf("got suggestions %s", specs(t, got))
	}
}

// Users choose the keys in updates that are denied. None of these may get more than the key, or anything.
func TestLog_HostilePaths(t *testing.T) {
	long := strings.Repeat("!", 300)
	for name, paths := range map[string]string{
		"asterisk as key":            `metadata.annotations["*"]`,
		"asterisk at the end of key": `metadata.annotations["example.com/*"]`,
		"any element":                `metadata.annotations[*]`,
		"everything":                 `*`,
		"cut path":                   `metadata.annotations["` + long[:230] + `...; metadata.annotations["; *; x"]`,
		"cut path at the end":        `metadata.annotations["` + long[:230] + `...`,
		"too many changes":           `10000 more`,
		"not a path":                 `spec template`,
	} {
		t.Run(name, func(t *testing.T) {
			l := read(t, logged{user: "mallory", namespace: "dev", decision: "deny", paths: []string{paths}})
			if got := l.Suggest(); len(got) > 0 || len(l.Problems) == 0 {
				t.Errorf("problems %q, policies:\n%s", l.Problems, specs(t, got))
			}
		})
	}
	l := read(t, logged{user: "mallory", namespace: "dev", decision: "deny", paths: []string{`metadata.annotations["a\"; spec; \""]`, `metadata.annotations["]; [\\"]`}})
	if got := l.Suggest(); len(got) != 1 || len(got[0].Policy.Spec.Fields) != 2 || len(l.Problems) > 0 {
		t.Errorf("problems %q, policies:\n%s", l.Problems, specs(t, got))
	}
}

func TestNameFor(t *testing.T) {
	l := read(t,
		logged{user: "alice", namespace: "dev", decision: "deny", paths: []string{"spec.suspend"}},
		logged{user: "alice", namespace: "prod", decision: "deny", paths: []string{"spec.backoffLimit"}},
		logged{user: "https://idp.example.com#" + strings.Repeat("ü", 100), namespace: "dev", decision: "deny", paths: []string{"spec.parallelism"}},
		logged{user: "---", namespace: "dev", decision: "deny", paths: []string{"spec.completions"}},
	)
	names := map[string]bool{}
	for _, s := range l.Suggest() {
		names[s.Policy.Name] = true
		if errs := apimachineryvalidation.NameIsDNSSubdomain(s.Policy.Name, false); len(errs) > 0 {
			t.Errorf("%s: %q", s.Policy.Name, errs)
		}
	}
	if len(names) != 4 {
		t.Errorf("got names %v", names)
	}
}

func TestLog_Namespace(t *testing.T) {
	l := NewLog("dev")
	text := logged{user: "alice", namespace: "dev", decision: "deny", paths: []string{"spec.suspend"}}.line(t, 0) +
		logged{user: "bob", namespace: "prod", decision: "deny", paths: []string{"spec.suspend"}}.line(t, 1)
	if err := l.Read(strings.NewReader(text), nil); err != nil {
		t.Fatal(err)
	}
	if got := l.Suggest(); l.Events != 1 || len(got) != 1 || got[0].Policy.Spec.Subjects[0].Name != "alice" {
		t.Errorf("got %d events and policies %s", l.Events, specs(t, got))
	}
}

func TestLog_ReadGzip(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	fmt.Fprint(w, "2026-03-01T10:00:00Z stdout F "+logged{user: "alice", namespace: "dev", decision: "deny", paths: []string{"spec.suspend"}}.line(t, 0))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l := NewLog("")
	if err := l.Read(&zipped, nil); err != nil || l.Events != 1 || len(l.Suggest()) != 1 {
		t.Errorf("got %d events: %v", l.Events, err)
	}
}

func TestLog_Generalize(t *testing.T) {
	l := read(t,
		logged{user: "alice", groups: []string{"all", "dev", "system:authenticated"}, namespace: "dev", decision: "deny", labels: map[string]string{"app": "a"}, paths: []string{
			`metadata.annotations["example.com/a"]`, `metadata.annotations["example.com/b"]`, `metadata.annotations["c"]`,
			`spec.template.spec.containers[name="a"].image`, `spec.template.spec.containers[name="b"].image`, `spec.template.spec.volumes[name="v"]`,
		}},
		logged{user: "bob", groups: []string{"all", "dev", "ops", "system:authenticated"}, namespace: "dev", decision: "deny", labels: map[string]string{"app": "a"}, paths: []string{
			`metadata.annotations["example.com/a"]`, `metadata.annotations["example.com/b"]`, `metadata.annotations["c"]`,
			`spec.template.spec.containers[name="a"].image`, `spec.template.spec.containers[name="b"].image`, `spec.template.spec.volumes[name="v"]`,
		}},
	)
	if err := l.Read(strings.NewReader(logged{user: "carol", groups: []string{"all"}, namespace: "prod", decision: "deny", paths: []string{"spec.suspend"}}.line(t, 9)), nil); err != nil {
		t.Fatal(err)
	}
	wider := l.Generalize(l.Suggest())[:1]
	if len(wider) != 1 {
		t.Fatalf("got %s", specs(t, wider))
	}
	wantFields := []string{`metadata.annotations["c"]`, `metadata.annotations["example.com/*"]`, "spec.template.spec.containers[*].image", `spec.template.spec.volumes[name="v"]`}
	if diff := cmp.Diff(wantFields, wider[0].Policy.Spec.Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	wantNotes := []string{
		"all Jobs are selected; those in the log have app=a",
		`metadata.annotations["example.com/*"] replaces metadata.annotations["example.com/a"], metadata.annotations["example.com/b"]`,
		`spec.template.spec.containers[*].image replaces spec.template.spec.containers[name="a"].image, spec.template.spec.containers[name="b"].image`,
		`the group "dev" replaces "alice", "bob"; they are also in ["all"]`,
	}
	slices.Sort(wantNotes)
	got := slices.Sorted(slices.Values(wider[0].Notes))
	if diff := cmp.Diff(wantNotes, got); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if s := wider[0].Policy.Spec.Subjects; len(s) != 1 || s[0].Kind != "Group" || s[0].Name != "dev" {
		t.Errorf("got subjects %v", s)
	}
}

// Two suggestions overlap, and become equal: alice and bob have changed four containers, and carol two of
// them. The result names everybody, and counts each change once.
func TestLog_GeneralizeMerges(t *testing.T) {
	image := func(container string) string {
		return fmt.Sprintf("spec.template.spec.containers[name=%q].image", container)
	}
	event := func(user string, containers ...string) logged {
		e := logged{user: user, groups: []string{"dev"}, namespace: "dev", decision: "deny"}
		for _, c := range containers {
			e.paths = append(e.paths, image(c))
		}
		return e
	}
	l := read(t, event("carol", "a", "b"), event("alice", "a", "b", "c", "d"), event("bob", "a", "b", "c", "d"))
	narrow := l.Suggest()
	if len(narrow) != 2 {
		t.Fatalf("got %s, want two suggestions", specs(t, narrow))
	}
	wider := l.Generalize(narrow)
	if len(wider) != 1 || !strings.Contains(strings.Join(wider[0].Notes, "\n"), `"carol"`) {
		t.Fatalf("got %s with the notes %q, want one that names carol", specs(t, wider), wider[0].Notes)
	}
	if got := wider[0]; got.Changes != 10 || !got.First.Equal(narrow[1].First) || !got.Last.Equal(narrow[0].Last) {
		t.Errorf("got %d changes from %s to %s, want 10 from %s to %s", got.Changes, got.First, got.Last, narrow[1].First, narrow[0].Last)
	}
}

// The suggested policies grant all changes of a random log. They deny every other change of its users, and
// all changes of other users.
func TestLog_SuggestIsExact(t *testing.T) {
	t.Parallel()
	users := []string{"alice", "bob", "system:serviceaccount:a:b", "system:serviceaccount:c:d", "mallory"}
	namespaces := []string{"dev", "test", "prod"}
	fields := []string{
		"spec.suspend", "spec.backoffLimit", "spec.template", "spec.template.spec.nodeSelector", `metadata.annotations["a"]`,
		`metadata.annotations["b"]`, "metadata.annotations", `spec.template.spec.containers[name="main"].image`,
	}
	values := []map[string]string{{"app": "a", "team": "x"}, {"app": "b", "team": "x"}, {"app": "b"}, {}, nil}
	for seed := range int64(100) {
		random := rand.New(rand.NewSource(seed))
		var events []logged
		for range 1 + random.Intn(25) {
			e := logged{
				user: users[random.Intn(4)], namespace: namespaces[random.Intn(3)], code: 200,
				decision: []string{"deny", "warn"}[random.Intn(2)], labels: values[random.Intn(len(values))],
			}
			for range 1 + random.Intn(3) {
				if field := fields[random.Intn(len(fields))]; !slices.Contains(e.paths, field) {
					e.paths = append(e.paths, field)
				}
			}
			events = append(events, e)
		}
		checkExact(t, events, users, namespaces, fields)
		if t.Failed() {
			t.Fatalf("seed %d failed", seed)
		}
	}
}

func checkExact(t *testing.T, events []logged, users, namespaces, fields []string) {
	t.Helper()
	suggestions := read(t, events...).Suggest()
	var policies []*v1alpha1.JobUpdatePolicy
	for _, s := range suggestions {
		v1alpha1.SetDefaults_JobUpdatePolicySpec(&s.Policy.Spec)
		policies = append(policies, s.Policy)
	}
	snapshot, invalid := fieldpolicy.Compile(policies)
	if len(invalid) > 0 {
		t.Fatal(invalid)
	}
	granted := func(user, namespace, field string, jobLabels map[string]string) bool {
		pattern, err := fieldpath.ParsePattern(field)
		if err != nil {
			t.Fatal(err)
		}
		grants := snapshot.GrantsTo(fieldpolicy.User{Name: user}, jobLabels, func() labels.Set { return labels.Set{"kubernetes.io/metadata.name": namespace} })
		return len(grants.Evaluate(pattern).Policies) > 0
	}
	seen := map[change]bool{}
	for _, e := range events {
		for _, path := range e.paths {
			seen[change{e.user, e.namespace, path}] = true
			if !granted(e.user, e.namespace, path, e.labels) {
				t.Errorf("%s may not change %s in %s:\n%s", e.user, path, e.namespace, specs(t, suggestions))
			}
		}
	}
	all := map[string]string{"app": "a", "team": "x"} // no policy selects other labels
	for _, user := range users {
		for _, namespace := range namespaces {
			for _, field := range fields {
				pattern, _ := fieldpath.ParsePattern(field)
				wanted := false
				for c := range maps.Keys(seen) {
					above, _ := fieldpath.ParsePattern(c.field)
					wanted = wanted || c.user == user && c.namespace == namespace && above.Matches(pattern.Path())
				}
				if !wanted && granted(user, namespace, field, all) {
					t.Errorf("%s may change %s in %s, which is not in the log:\n%s", user, field, namespace, specs(t, suggestions))
				}
			}
		}
	}
}
