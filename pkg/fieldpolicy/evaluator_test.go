package fieldpolicy

import (
	"fmt"
	"maps"
	"math/rand"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// What follows evaluates policies by brute force: each of them, as it is written, for each
// path, with regular expressions. It shares no code with the Snapshot, which is checked
// against it.

// granted returns the names of the policies that grant the path, and whether all of them
// only warn.
func granted(policies []*v1alpha1.JobUpdatePolicy, path Path, user User, job map[string]string, namespace labels.Set) ([]string, bool) {
	var allowing, warning []string
	for _, p := range policies {
		if !isSubject(p.Spec.Subjects, user) || !selects(p.Spec.JobSelector, job) || !selectsNamespace(p.Spec.NamespaceSelector, namespace) {
			continue
		}
		for _, field := range p.Spec.Fields {
			if fieldPattern(field).MatchString(string(path)) {
				if p.Spec.Action == v1alpha1.Warn {
					warning = append(warning, p.Name)
				} else {
					allowing = append(allowing, p.Name)
				}
				break
			}
		}
	}
	if len(allowing) > 0 {
		return slices.Sorted(slices.Values(allowing)), false
	}
	return slices.Sorted(slices.Values(warning)), len(warning) > 0
}

const (
	quotedString = `"(?:[^"\\]|\\.)*"`
	anyBrackets  = `\[(?:` + quotedString + `|[^\]"])*\]`
)

// fieldPattern returns what matches the paths that the text of a field covers.
func fieldPattern(text string) *regexp.Regexp {
	if text == "*" {
		return regexp.MustCompile("")
	}
	pattern := regexp.QuoteMeta(text)
	pattern = strings.ReplaceAll(pattern, `\[\*\]`, anyBrackets)
	pattern = strings.ReplaceAll(pattern, `\*"\]`, `(?:[^"\\]|\\.)*"\]`)
	return regexp.MustCompile(`^` + pattern + `(?:[.\[]|$)`)
}

func isSubject(subjects []rbacv1.Subject, user User) bool {
	for _, s := range subjects {
		switch s.Kind {
		case "User":
			if s.Name == user.Name {
				return true
			}
		case "ServiceAccount":
			if fmt.Sprintf("system:serviceaccount:%s:%s", s.Namespace, s.Name) == user.Name {
				return true
			}
		case "Group":
			for _, g := range user.Groups {
				if s.Name == g {
					return true
				}
			}
		}
	}
	return len(subjects) == 0
}

func selectsNamespace(s *metav1.LabelSelector, namespace labels.Set) bool {
	if namespace == nil {
		return len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0
	}
	return selects(s, namespace)
}

func selects(s *metav1.LabelSelector, has map[string]string) bool {
	for k, v := range s.MatchLabels {
		if got, ok := has[k]; !ok || got != v {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		got, ok := has[e.Key]
		in := ok && slices.Contains(e.Values, got)
		if matches := map[metav1.LabelSelectorOperator]bool{"In": in, "NotIn": !in, "Exists": ok, "DoesNotExist": !ok}; !matches[e.Operator] {
			return false
		}
	}
	return true
}

// policies returns random policies that have something to do with the update: some grant
// what it changes, or nearly that.
func (d dice) policies(changed []Path, job *batchv1.Job) []*v1alpha1.JobUpdatePolicy {
	var policies []*v1alpha1.JobUpdatePolicy
	for i := range d.roll(6) {
		p := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", d.roll(3)*10+i)}}
		for range 1 + d.roll(4) {
			if field := d.field(changed); !slices.Contains(p.Spec.Fields, field) {
				p.Spec.Fields = append(p.Spec.Fields, field)
			}
		}
		for range d.roll(3) {
			p.Spec.Subjects = append(p.Spec.Subjects, []rbacv1.Subject{
				{Kind: "User", Name: "alice"}, {Kind: "User", Name: "bob"}, {Kind: "Group", Name: "dev"}, {Kind: "Group", Name: "ops"},
				{Kind: "ServiceAccount", Namespace: "a", Name: "b"},
			}[d.roll(5)])
		}
		if d.roll(3) == 0 {
			p.Spec.NamespaceSelector = d.selector(map[string]string{"env": "test"})
		}
		if d.roll(3) == 0 {
			p.Spec.JobSelector = d.selector(job.Labels)
		}
		if d.roll(3) == 0 {
			p.Spec.Action = v1alpha1.Warn
		}
		v1alpha1.SetDefaults_JobUpdatePolicySpec(&p.Spec)
		policies = append(policies, p)
	}
	return policies
}

// field returns a random field: a changed path, or one that is above it or more general.
func (d dice) field(changed []Path) string {
	if len(changed) == 0 || d.roll(4) == 0 {
		return fieldNames()[d.roll(len(fieldNames()))]
	}
	path := string(changed[d.roll(len(changed))])
	switch d.roll(5) {
	case 0:
		path = regexp.MustCompile(anyBrackets).ReplaceAllString(path, "[*]")
	case 1:
		if i := strings.LastIndex(path, `"]`); strings.HasSuffix(path, `"]`) && strings.Contains(path, `["`) && path[i-1] != '\\' && path[i-1] < 0x80 {
			path = path[:i] + `*"]`
		}
	case 2, 3:
		if ends := regexp.MustCompile(`[.\[]`).FindAllStringIndex(path, -1); len(ends) > 0 {
			path = path[:ends[d.roll(len(ends))][0]]
		}
	}
	if _, err := ParseField(path); err != nil {
		return "metadata.labels"
	}
	return path
}

func (d dice) selector(of map[string]string) *metav1.LabelSelector {
	key, value := "env", "test"
	if keys := slices.Sorted(maps.Keys(of)); len(keys) > 0 {
		key = keys[d.roll(len(keys))]
		value = of[key]
	}
	switch d.roll(4) {
	case 0:
		return &metav1.LabelSelector{MatchLabels: map[string]string{"env": value}}
	case 1:
		operator := []metav1.LabelSelectorOperator{"In", "NotIn"}[d.roll(2)]
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: operator, Values: []string{"test"}}}}
	case 2:
		operator := []metav1.LabelSelectorOperator{"Exists", "DoesNotExist"}[d.roll(2)]
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: operator}}}
	default:
		return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
}

// FuzzSnapshot compares a Snapshot with the evaluation by brute force, on random policies,
// users and updates.
func FuzzSnapshot(f *testing.F) {
	random := rand.New(rand.NewSource(4))
	for changes := range byte(6) {
		data := make([]byte, 1024)
		random.Read(data)
		f.Add(data, changes)
	}
	f.Fuzz(func(t *testing.T, data []byte, changes byte) {
		checkSnapshot(t, diceFrom(data), int(changes%6))
	})
}

// TestSnapshotAgreesWithBruteForce is the fuzz target with fixed seeds. It also checks that
// the random policies are worth it: every verdict must be common.
func TestSnapshotAgreesWithBruteForce(t *testing.T) {
	t.Parallel()
	const updates = 1500
	random := rand.New(rand.NewSource(5))
	data := make([]byte, 64)
	counts := map[string]int{}
	for i := range updates {
		random.Read(data)
		counts[checkSnapshot(t, diceFrom(data), i%6)]++
		if t.Failed() {
			t.Fatalf("update %d is not as expected; data %x", i, data)
		}
	}
	for _, verdict := range []string{"kept", "judged", "warned", "refused"} {
		if counts[verdict] < updates/30 {
			t.Errorf("%d of %d random updates were %s: too few", counts[verdict], updates, verdict)
		}
	}
}

// checkSnapshot judges a random update, and returns what became of it.
func checkSnapshot(t *testing.T, d dice, changes int) string {
	t.Helper()
	new, old := d.update(changes)
	oldV1, newV1 := v1Job(t, old), v1Job(t, new)
	old.Labels = map[string]string{"env": []string{"test", "prod"}[d.roll(2)], "app": "x"}
	if d.roll(2) == 0 {
		new.Labels = old.Labels
	}
	oldV1.Labels, newV1.Labels = old.Labels, new.Labels
	_, changed := compare(newV1, oldV1)
	policies := d.policies(changed, oldV1)
	if d.roll(2) == 0 {
		policies = append(policies, Bootstrap()...)
	}
	user := User{Name: []string{"alice", "carol", "system:serviceaccount:a:b"}[d.roll(3)], Groups: []string{"dev", "system:authenticated"}}
	namespace := []labels.Set{nil, {}, {"env": "test"}, {"env": "prod"}}[d.roll(4)]

	s := compiled(t, policies...)
	v := s.Judge(newV1, oldV1, user, namespace)
	want := make([]Change, len(changed))
	refused, warned := false, false
	for i, path := range changed {
		names, warn := granted(policies, path, user, oldV1.Labels, namespace)
		want[i] = Change{Path: path, Policies: names, Warn: warn}
		refused, warned = refused || len(names) == 0, warned || warn
	}
	if diff := cmp.Diff(want, v.Changes, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the changes (-by brute force +judged):\n%s\npolicies %s", diff, dump(policies))
	}
	kept, allowed := s.Keep(new, old, user)
	if allowed && (refused || warned) {
		t.Errorf("Keep allows what is refused (%t) or warned about (%t); policies %s", refused, warned, dump(policies))
	}
	switch {
	case refused:
		return "refused"
	case allowed:
		checkStored(t, kept, new, old, changed)
		return "kept"
	}
	checkStored(t, settled(t, v, new, old), new, old, changed)
	if warned {
		return "warned"
	}
	return "judged"
}

// checkStored compares, as JSON, the Job to store for an allowed update with the one that was
// sent, in the changed paths, and with the stored one in all others.
func checkStored(t *testing.T, stored, new, old *batch.Job, changed []Path) {
	t.Helper()
	is, sent, was := jsonTree(t, v1Job(t, stored)), jsonTree(t, v1Job(t, new)), jsonTree(t, v1Job(t, old))
	for _, p := range changed {
		path, err := steps(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := compact(get(is, path)), compact(get(sent, path)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is stored as %v, sent was %v", p, got, want)
		}
	}
	for _, p := range slices.Backward(changed) {
		removeAll(t, string(p), is, was)
	}
	for _, p := range slices.Concat(jsonAllowed(anyone)[4:], []string{"status"}) {
		removeAll(t, p, is, was)
	}
	if got, want := compact(is), compact(was); !reflect.DeepEqual(got, want) {
		t.Errorf("what is stored differs in what is not among the changes %q (-was +is):\n%s", changed, cmp.Diff(want, got))
	}
}

func dump(policies []*v1alpha1.JobUpdatePolicy) string {
	var b strings.Builder
	for _, p := range policies {
		fmt.Fprintf(&b, "\n%s: %+v", p.Name, p.Spec)
	}
	return b.String()
}
