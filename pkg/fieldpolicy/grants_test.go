// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"math/rand"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

func TestGrants_Fields(t *testing.T) {
	snapshot, invalid := Compile([]*v1alpha1.JobUpdatePolicy{
		policyFor("a", []string{"spec.suspend", "metadata.labels"}),
		policyFor("b", []string{"spec.suspend", `metadata.annotations["example.com/*"]`}, warning),
		policyFor("c", []string{"spec.template"}, to("User", "bob")),
		policyFor("d", []string{"spec.selector"}, ofJobs("app", "web")),
		policyFor("e", []string{`metadata.annotations["example.com/*"]`}, warning, inNamespaces("team", "x")),
	})
	if len(invalid) > 0 {
		t.Fatal(invalid)
	}
	grants := snapshot.GrantsTo(User{Name: "alice"}, labels.Set{"app": "db"}, func() labels.Set { return labels.Set{"team": "x"} })
	want := []UpdatableField{
		{Pattern: `metadata.annotations["example.com/*"]`, Policies: []string{"b", "e"}, Warn: true},
		{Pattern: "metadata.labels", Policies: []string{"a"}},
		{Pattern: "spec.suspend", Policies: []string{"a"}},
	}
	for limit := range 5 {
		fields, more := grants.Fields(limit)
		if diff := cmp.Diff(want[:min(limit, len(want))], fields, cmpopts.EquateEmpty()); diff != "" || more != max(0, len(want)-limit) {
			t.Errorf("with limit %d: %d more, fields (-want +got):\n%s", limit, more, diff)
		}
	}
	for _, tc := range []struct {
		text  string
		limit int
		want  []string
		more  bool
	}{
		{"*", 2, []string{`metadata.annotations["example.com/*"]`, "spec.suspend"}, true},
		{"spec", 1, []string{"spec.suspend"}, false},
		{"spec.suspend", 1, nil, false},
		{"metadata", 5, []string{`metadata.annotations["example.com/*"]`, "metadata.labels"}, false},
	} {
		pattern, err := fieldpath.ParsePattern(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		parts, more := grants.Below(pattern, tc.limit)
		if diff := cmp.Diff(tc.want, parts, cmpopts.EquateEmpty()); len(parts) != len(tc.want) || more != tc.more || !tc.more && diff != "" {
			t.Errorf("parts of %s: more %t, want %t; (-want +got):\n%s", tc.text, more, tc.more, diff)
		}
	}
	for text, want := range map[string]Change{
		"spec.suspend":                           {Policies: []string{"a"}},
		"spec":                                   {},
		`metadata.labels["x"]`:                   {Policies: []string{"a"}},
		"metadata.labels[*]":                     {Policies: []string{"a"}},
		"metadata.annotations":                   {},
		`metadata.annotations["example.com/*"]`:  {Policies: []string{"b", "e"}, Warn: true},
		`metadata.annotations["example.com/x*"]`: {Policies: []string{"b", "e"}, Warn: true},
		`metadata.annotations["example*"]`:       {},
		"metadata.annotations[*]":                {},
		"*":                                      {},
	} {
		pattern, err := fieldpath.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		got := grants.Evaluate(pattern)
		if diff := cmp.Diff(want.Policies, got.Policies); diff != "" || got.Warn != want.Warn {
			t.Errorf("%s: got warn %v, policies (-want +got):\n%s", text, got.Warn, diff)
		}
	}
}

// reviewsVariable is the environment variable with the number of random reviews. A million takes about half
// an hour.
const reviewsVariable = "BATCHGATE_REVIEWS"

// A review says what an update gets, for random policies, users, Jobs and updates.
func TestGrants_AgreeWithEvaluate(t *testing.T) {
	t.Parallel()
	reviews := 2000
	if text := os.Getenv(reviewsVariable); text != "" {
		var err error
		if reviews, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewSource(6))
	data := make([]byte, 64)
	outcomes := map[Outcome]int{}
	for i := 0; i < reviews; {
		random.Read(data)
		g := newGenerator(data)
		new, old := g.update(1 + i%5)
		old.Labels = map[string]string{"env": []string{"test", "prod"}[g.intn(2)], "app": "x"}
		_, changed, _ := compare(v1Job(t, new), v1Job(t, old))
		s := compiled(t, g.policies(texts(changed), v1Job(t, old))...)
		for _, user := range []User{{Name: "alice"}, {Name: "carol", Groups: []string{"dev", "system:authenticated"}}, {Name: "system:serviceaccount:a:b"}} {
			for _, namespace := range []labels.Set{nil, {"env": "test"}, {"env": "prod"}} {
				d := evaluate(t, s, new, old, user, namespace)
				checkGrants(t, s.GrantsTo(user, old.Labels, func() labels.Set { return namespace }), d)
				outcomes[d.Outcome]++
				i++
			}
		}
		if t.Failed() {
			t.Fatalf("review %d failed; data %x", i, data)
		}
	}
	t.Logf("%d reviews agree with updates: %v", reviews, outcomes)
	for _, outcome := range []Outcome{Allow, Warn, Deny} {
		if outcomes[outcome] < reviews/50 {
			t.Errorf("only %d of %d updates have the outcome %s", outcomes[outcome], reviews, outcome)
		}
	}
}
