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
}

// GrantsTo returns the grants to a user for a Job with these labels. The methods of the
// result call namespaceLabels at most once.
func (s *Snapshot) GrantsTo(user User, job labels.Set, namespaceLabels func() labels.Set) *Grants {
	return &Grants{s, s.rulesFor(user, job, namespaceLabels)}
}

// Fields returns up to limit granted path patterns, the first in alphabetical order, and the number of the
// others.
func (g *Grants) Fields(limit int) (fields []UpdatableField, more int) {
	first := firstPatterns(g.rules, limit)
	g.visit(func(number int, p fieldpath.Pattern) bool {
		if _, found := slices.BinarySearch(first, p.String()); !found {
			more++
			return true
		}
		c := g.snapshot.changeGrantedBy([]int{number}, g.rules)
		fields = append(fields, UpdatableField{p.String(), c.Policies, c.Warn})
		return true
	})
	slices.SortFunc(fields, func(a, b UpdatableField) int { return cmp.Compare(a.Pattern, b.Pattern) })
	return fields, more
}

// Below returns some granted path patterns that match parts of what a pattern matches, sorted, and whether
// there are more than limit.
func (g *Grants) Below(p fieldpath.Pattern, limit int) (parts []string, more bool) {
	g.visit(func(_ int, granted fieldpath.Pattern) bool {
		if !granted.IsBelow(p) {
			return true
		}
		more = len(parts) == limit
		if !more {
			parts = append(parts, granted.String())
		}
		return !more
	})
	slices.Sort(parts)
	return parts, more
}

// visit calls a function with the number of each granted path pattern until it returns false.
func (g *Grants) visit(visit func(number int, p fieldpath.Pattern) bool) {
	for number, grants := range g.snapshot.grants {
		granted := slices.ContainsFunc(grants, func(gr *grant) bool { return g.rules.has(gr.rule) })
		if granted && !visit(number, grants[0].pattern) {
			return
		}
	}
}

// Evaluate returns the policies that grant a change of each path that the pattern matches.
func (g *Grants) Evaluate(p fieldpath.Pattern) Change {
	return g.snapshot.evaluateChanges([]fieldpath.Path{p.Path()}, g.rules)[0]
}
