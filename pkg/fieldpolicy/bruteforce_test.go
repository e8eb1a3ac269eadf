// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"fmt"
	"maps"
	"math"
	"math/rand"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// This file evaluates policies by brute force: every policy for every path, with regular
// expressions. It shares no code with Snapshot, so that tests can check results against it.

// grantingPolicies returns the names of the policies that grant a change of the path, and
// whether all of them only warn.
func grantingPolicies(policies []*v1alpha1.JobUpdatePolicy, path string, user User, job map[string]string, namespace labels.Set) ([]string, bool) {
	var allowing, warning []string
	for _, p := range policies {
		if !isSubject(p.Spec.Subjects, user) || !selects(p.Spec.JobSelector, job) || !selectsNamespace(p.Spec.NamespaceSelector, namespace) {
			continue
		}
		for _, field := range p.Spec.Fields {
			if patternRegexp(field).MatchString(path) {
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

// patternRegexp returns a regular expression for the paths that match a pattern.
func patternRegexp(text string) *regexp.Regexp {
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

// policies returns random policies that grant some of the changed paths, or similar ones.
func (g generator) policies(changed []string, job *batchv1.Job) []*v1alpha1.JobUpdatePolicy {
	var policies []*v1alpha1.JobUpdatePolicy
	for i := range g.intn(6) {
		p := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", g.intn(3)*10+i)}}
		for range 1 + g.intn(4) {
			if field := g.field(changed); !slices.Contains(p.Spec.Fields, field) {
				p.Spec.Fields = append(p.Spec.Fields, field)
			}
		}
		for range g.intn(3) {
			p.Spec.Subjects = append(p.Spec.Subjects, []rbacv1.Subject{
				{Kind: "User", Name: "alice"}, {Kind: "User", Name: "bob"}, {Kind: "Group", Name: "dev"}, {Kind: "Group", Name: "ops"},
				{Kind: "ServiceAccount", Namespace: "a", Name: "b"},
			}[g.intn(5)])
		}
		if g.intn(3) == 0 {
			p.Spec.NamespaceSelector = g.selector(map[string]string{"env": "test"})
		}
		if g.intn(3) == 0 {
			p.Spec.JobSelector = g.selector(job.Labels)
		}
		if g.intn(3) == 0 {
			p.Spec.Action = v1alpha1.Warn
		}
		v1alpha1.SetDefaults_JobUpdatePolicySpec(&p.Spec)
		policies = append(policies, p)
	}
	return policies
}

// field returns a random pattern that matches a changed path, or any other pattern.
func (g generator) field(changed []string) string {
	if len(changed) == 0 || g.intn(4) == 0 {
		return fieldpath.AllPatterns()[g.intn(len(fieldpath.AllPatterns()))]
	}
	path := changed[g.intn(len(changed))]
	switch g.intn(5) {
	case 0:
		path = regexp.MustCompile(anyBrackets).ReplaceAllString(path, "[*]")
	case 1:
		if i := strings.LastIndex(path, `"]`); strings.HasSuffix(path, `"]`) && strings.Contains(path, `["`) && path[i-1] != '\\' && path[i-1] < 0x80 {
			path = path[:i] + `*"]`
		}
	case 2, 3:
		if ends := regexp.MustCompile(`[.\[]`).FindAllStringIndex(path, -1); len(ends) > 0 {
			path = path[:ends[g.intn(len(ends))][0]]
		}
	}
	if _, err := fieldpath.ParsePattern(path); err != nil {
		return "metadata.labels"
	}
	return path
}

func (g generator) selector(of map[string]string) *metav1.LabelSelector {
	key, value := "env", "test"
	if keys := slices.Sorted(maps.Keys(of)); len(keys) > 0 {
		key = keys[g.intn(len(keys))]
		value = of[key]
	}
	switch g.intn(4) {
	case 0:
		return &metav1.LabelSelector{MatchLabels: map[string]string{"env": value}}
	case 1:
		operator := []metav1.LabelSelectorOperator{"In", "NotIn"}[g.intn(2)]
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: operator, Values: []string{"test"}}}}
	case 2:
		operator := []metav1.LabelSelectorOperator{"Exists", "DoesNotExist"}[g.intn(2)]
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: operator}}}
	default:
		return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
}

// FuzzEvaluatePolicies compares Evaluate with the evaluation by brute force for random policies,
// users and updates.
func FuzzEvaluatePolicies(f *testing.F) {
	random := rand.New(rand.NewSource(4))
	for changes := range byte(6) {
		data := make([]byte, 1024)
		random.Read(data)
		f.Add(data, changes)
	}
	f.Fuzz(func(t *testing.T, data []byte, changes byte) {
		checkPolicies(t, newGenerator(data), int(changes%6))
	})
}

// TestEvaluate_MatchesBruteForce runs the fuzz target with fixed seeds. It also checks that
// every result is common.
func TestEvaluate_MatchesBruteForce(t *testing.T) {
	t.Parallel()
	const updates = 1500
	random := rand.New(rand.NewSource(5))
	data := make([]byte, 64)
	counts := map[string]int{}
	for i := range updates {
		random.Read(data)
		counts[checkPolicies(t, newGenerator(data), i%6)]++
		if t.Failed() {
			t.Fatalf("update %d failed; data %x", i, data)
		}
	}
	for _, result := range []string{"allow by fast path", "allow", "warn", "deny"} {
		if counts[result] < updates/30 {
			t.Errorf("only %d of %d random updates have the result %s", counts[result], updates, result)
		}
	}
}

// checkPolicies evaluates a random update and returns the result.
func checkPolicies(t *testing.T, g generator, changes int) string {
	t.Helper()
	new, old := g.update(changes)
	old.Labels = map[string]string{"env": []string{"test", "prod"}[g.intn(2)], "app": "x"}
	if g.intn(2) == 0 {
		new.Labels = old.Labels
	}
	changed := changedPaths(v1Job(t, new), v1Job(t, old))
	policies := g.policies(changed, v1Job(t, old))
	if g.intn(2) == 0 {
		policies = append(policies, bootstrappolicy.Policies()...)
	}
	user := User{Name: []string{"alice", "carol", "system:serviceaccount:a:b"}[g.intn(3)], Groups: []string{"dev", "system:authenticated"}}
	namespace := []labels.Set{nil, {}, {"env": "test"}, {"env": "prod"}}[g.intn(4)]

	s := compiled(t, policies...)
	byPath := evaluate(t, s, new, old, user, namespace)
	var want, got []string
	outcome := Allow
	for _, path := range changed {
		names, warn := grantingPolicies(policies, path, user, old.Labels, namespace)
		want = append(want, fmt.Sprintf("%s: %s, warn %t", path, names, warn))
		switch {
		case len(names) == 0:
			outcome = Deny
		case warn && outcome == Allow:
			outcome = Warn
		}
	}
	for _, c := range byPath.Changes {
		got = append(got, fmt.Sprintf("%s: %s, warn %t", c.Path, c.Policies, c.Warn))
	}
	if diff := cmp.Diff(want, got); diff != "" || byPath.Outcome != outcome {
		t.Errorf("outcome %s, want %s; changes (-brute force +got):\n%s\npolicies %s", byPath.Outcome, outcome, diff, dump(policies))
	}
	checkGrants(t, s.GrantsTo(user, old.Labels, func() labels.Set { return namespace }), byPath)
	fast := s.evaluateFast(new, old, user)
	switch {
	case fast != nil && outcome != Allow:
		t.Errorf("the fast path allows an update with the outcome %s; policies %s", outcome, dump(policies))
	case fast != nil:
		checkStored(t, fast.Job, new, old, changed)
		return "allow by fast path"
	case outcome != Deny:
		checkStored(t, byPath.Job, new, old, changed)
	}
	return string(outcome)
}

// checkGrants checks that a review of the changed paths, and the list of updatable fields, agree with the
// decision about the update.
func checkGrants(t *testing.T, grants *Grants, d *Decision) {
	t.Helper()
	for _, c := range d.Changes {
		pattern, err := fieldpath.ParsePattern(c.Path.String())
		if err != nil {
			continue // a key with an asterisk
		}
		if got := grants.Evaluate(pattern); got.Warn != c.Warn || !slices.Equal(got.Policies, c.Policies) {
			t.Errorf("a review of %s says %v, warn %t; the update says %v, warn %t", c.Path, got.Policies, got.Warn, c.Policies, c.Warn)
		}
	}
	var patterns []string
	fields, _ := grants.Fields(math.MaxInt)
	for _, f := range fields {
		patterns = append(patterns, f.Pattern)
		if pattern, err := fieldpath.ParsePattern(f.Pattern); err != nil || len(grants.Evaluate(pattern).Policies) == 0 {
			t.Errorf("the updatable field %s is denied: %v", f.Pattern, err)
		}
	}
	if d.Outcome == Deny && !slices.Equal(patterns[:min(len(patterns), MaxUpdatableFields)], d.UpdatableFields) {
		t.Errorf("a review lists %q, and the denial %q", patterns, d.UpdatableFields)
	}
}

// checkStored compares Jobs as JSON. In the changed paths, the Job to store must equal the one that
// was sent, and in all other paths, the stored one.
func checkStored(t *testing.T, toStore, new, old *batch.Job, changed []string) {
	t.Helper()
	got, sent, stored := jsonTree(t, v1Job(t, toStore)), jsonTree(t, v1Job(t, new)), jsonTree(t, v1Job(t, old))
	for _, p := range changed {
		path, err := steps(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := compact(get(got, path)), compact(get(sent, path)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is stored as %v, want %v", p, got, want)
		}
	}
	for _, p := range slices.Backward(changed) {
		removeAll(t, p, got, stored)
	}
	for _, p := range slices.Concat(jsonUpdatable(ordinaryUser)[4:], []string{"status"}) {
		removeAll(t, p, got, stored)
	}
	if got, want := compact(got), compact(stored); !reflect.DeepEqual(got, want) {
		t.Errorf("the Job to store differs from the stored one in other paths than %q (-stored +to store):\n%s", changed, cmp.Diff(want, got))
	}
}

func dump(policies []*v1alpha1.JobUpdatePolicy) string {
	var b strings.Builder
	for _, p := range policies {
		fmt.Fprintf(&b, "\n%s: %+v", p.Name, p.Spec)
	}
	return b.String()
}
