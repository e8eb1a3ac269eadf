// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// Grants are the changes that policies grant to one user, in one Job. It is not safe for concurrent use.
type Grants struct {
	snapshot *Snapshot
	rules    *ruleSet
}

// UpdatableField is a path pattern that policies grant to a user.
type UpdatableField struct {
	Pattern string
	// Policies are the names of the policies that grant the pattern, sorted. If any policy allows
	// it, policies that warn are left out. The list must not be modified.
	Policies []string
	// Warn is true if all policies have the action Warn.
	Warn bool

	parsed fieldpath.Pattern
}

// IsBelow reports whether the field is a part of the fields that a pattern matches.
func (f UpdatableField) IsBelow(p fieldpath.Pattern) bool { return f.parsed.IsBelow(p) }

// GrantsTo returns the grants to a user for a Job with these labels. The methods of the
// result call namespaceLabels at most once.
func (s *Snapshot) GrantsTo(user User, job labels.Set, namespaceLabels func() labels.Set) *Grants {
	return &Grants{s, s.rulesFor(user, job, namespaceLabels)}
}

// Fields returns all granted path patterns, sorted.
func (g *Grants) Fields() []UpdatableField {
	var fields []UpdatableField
	for number, grants := range g.snapshot.grants {
		if c := g.snapshot.changeGrantedBy([]int{number}, g.rules); len(c.Policies) > 0 {
			fields = append(fields, UpdatableField{grants[0].pattern.String(), c.Policies, c.Warn, grants[0].pattern})
		}
	}
	slices.SortFunc(fields, func(a, b UpdatableField) int { return cmp.Compare(a.Pattern, b.Pattern) })
	return fields
}

// Evaluate returns the policies that grant a change of each path that the pattern matches.
func (g *Grants) Evaluate(p fieldpath.Pattern) Change {
	return g.snapshot.evaluateChanges([]fieldpath.Path{p.Path()}, g.rules)[0]
}
