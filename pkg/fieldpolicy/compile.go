// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// Compile returns a Snapshot of the policies, and the errors of invalid policies by name. It skips an
// invalid field or subject, and the rest of the policy still applies. A policy with an invalid selector
// or action, or with the condition Supported=False, grants nothing.
func Compile(policies []*v1alpha1.JobUpdatePolicy) (*Snapshot, map[string]error) {
	s := &Snapshot{users: map[string]*subjectRules{}, groups: map[string]*subjectRules{}}
	c := compiler{snapshot: s, rules: map[string]*rule{}, grants: map[grantKey]*grant{}}
	invalid := map[string]error{}
	byName := func(a, b *v1alpha1.JobUpdatePolicy) int { return cmp.Compare(a.Name, b.Name) }
	for _, p := range slices.SortedFunc(slices.Values(policies), byName) {
		if err := c.add(p); err != nil {
			invalid[p.Name] = err
		}
	}
	for _, r := range c.rules {
		slices.SortFunc(r.grants, func(a, b *grant) int { return cmp.Compare(a.pattern.String(), b.pattern.String()) })
	}
	return s, invalid
}

// compiler adds policies to a Snapshot in the order of their names.
type compiler struct {
	snapshot *Snapshot
	rules    map[string]*rule // by the JSON of their subjects and selectors
	grants   map[grantKey]*grant
}

type grantKey struct {
	rule    *rule
	pattern string
}

func (c *compiler) add(p *v1alpha1.JobUpdatePolicy) error {
	if supported := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSupported); supported != nil && supported.Status == metav1.ConditionFalse {
		return errors.New(supported.Message)
	}
	if p.Spec.Action != v1alpha1.Warn && p.Spec.Action != v1alpha1.Allow {
		return fmt.Errorf("unknown action %q", p.Spec.Action)
	}
	namespaces, err := compileSelector(p.Spec.NamespaceSelector)
	if err != nil {
		return fmt.Errorf("namespaceSelector: %w", err)
	}
	jobs, err := compileSelector(p.Spec.JobSelector)
	if err != nil {
		return fmt.Errorf("jobSelector: %w", err)
	}
	var errs []error
	var patterns []fieldpath.Pattern
	for _, text := range p.Spec.Fields {
		pattern, err := fieldpath.ParsePattern(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("field %q: %w", text, err))
			continue
		}
		patterns = append(patterns, pattern)
	}
	subjects, err := c.subjects(p.Spec.Subjects)
	errs = append(errs, err)
	rule, err := c.ruleFor(p, subjects, namespaces, jobs)
	if err != nil {
		return err
	}
	c.grant(rule, p, patterns)
	if p.Spec.Action == v1alpha1.Allow && namespaces == nil && jobs == nil {
		for _, r := range subjects {
			r.addCommon(p.Name, patterns)
		}
	}
	return errors.Join(errs...)
}

// subjects returns the rules of each subject.
func (c *compiler) subjects(subjects []rbacv1.Subject) ([]*subjectRules, error) {
	s := c.snapshot
	if len(subjects) == 0 {
		return []*subjectRules{&s.everyone}, nil
	}
	var all []*subjectRules
	var errs []error
	for _, subject := range subjects {
		if err := validateSubject(subject); err != nil {
			errs = append(errs, err)
			continue
		}
		var r *subjectRules
		switch subject.Kind {
		case rbacv1.UserKind:
			r = getOrCreate(s.users, subject.Name)
		case rbacv1.ServiceAccountKind:
			r = getOrCreate(s.users, "system:serviceaccount:"+subject.Namespace+":"+subject.Name)
		case rbacv1.GroupKind:
			r = getOrCreate(s.groups, subject.Name)
		default:
			errs = append(errs, fmt.Errorf("unknown kind of subject %q", subject.Kind))
			continue
		}
		all = append(all, r)
	}
	return all, errors.Join(errs...)
}

// validateSubject returns an error if a subject has values that this release does not know. They
// may identify another subject of the same name, or narrow this one.
func validateSubject(s rbacv1.Subject) error {
	isServiceAccount := s.Kind == rbacv1.ServiceAccountKind
	switch {
	case s.APIGroup != "" && (isServiceAccount || s.APIGroup != rbacv1.GroupName):
		return fmt.Errorf("unknown API group of the subject %s %q: %q", s.Kind, s.Name, s.APIGroup)
	case s.Namespace != "" && !isServiceAccount:
		return fmt.Errorf("the subject %s %q must not have a namespace", s.Kind, s.Name)
	}
	return nil
}

func getOrCreate(subjects map[string]*subjectRules, name string) *subjectRules {
	r := subjects[name]
	if r == nil {
		r = &subjectRules{}
		subjects[name] = r
	}
	return r
}

// ruleFor returns the rule for the subjects and selectors of a policy. It adds the rule to the
// subjects if it is new.
func (c *compiler) ruleFor(p *v1alpha1.JobUpdatePolicy, subjects []*subjectRules, namespaces, jobs labels.Selector) (*rule, error) {
	// Different values have different keys: policies are decoded from JSON, so they contain no
	// invalid UTF-8 that encoding would replace.
	key, err := json.Marshal(v1alpha1.JobUpdatePolicySpec{
		Subjects:          p.Spec.Subjects,
		NamespaceSelector: p.Spec.NamespaceSelector,
		JobSelector:       p.Spec.JobSelector,
	})
	if err != nil {
		return nil, err
	}
	r := c.rules[string(key)]
	if r == nil {
		r = &rule{id: c.snapshot.rules, namespaces: namespaces, jobs: jobs}
		c.snapshot.rules++
		c.rules[string(key)] = r
		for _, s := range subjects {
			s.rules = append(s.rules, r)
		}
	}
	return r, nil
}

// grant adds the patterns of a policy to a rule.
func (c *compiler) grant(r *rule, p *v1alpha1.JobUpdatePolicy, patterns []fieldpath.Pattern) {
	name := []string{p.Name} // shared by grants; its capacity is 1, so that an append copies it
	for _, pattern := range patterns {
		key := grantKey{r, pattern.String()}
		g := c.grants[key]
		if g == nil {
			g = &grant{rule: r, pattern: pattern}
			c.grants[key] = g
			r.grants = append(r.grants, g)
			c.snapshot.index(pattern, g)
		}
		names := &g.allowedBy
		if p.Spec.Action == v1alpha1.Warn {
			names = &g.warnedBy
		}
		switch n := len(*names); {
		case n == 0:
			*names = name
		case (*names)[n-1] != p.Name: // a policy may list a field twice
			*names = append(*names, p.Name)
		}
	}
}

// index adds a grant to the grants of its pattern.
func (s *Snapshot) index(p fieldpath.Pattern, g *grant) {
	number := s.patterns.Add(p)
	if number == len(s.grants) {
		s.grants = append(s.grants, nil)
	}
	s.grants[number] = append(s.grants[number], g)
}

// compileSelector returns nil for an empty selector, which selects all. A nil selector selects
// nothing.
func compileSelector(s *metav1.LabelSelector) (labels.Selector, error) {
	compiled, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || compiled.Empty() {
		return nil, err
	}
	return compiled, nil
}

// addCommon adds the common fields that a policy grants entirely.
func (r *subjectRules) addCommon(name string, patterns []fieldpath.Pattern) {
	for i, path := range commonPaths {
		if slices.ContainsFunc(patterns, func(p fieldpath.Pattern) bool { return p.Matches(path) }) {
			r.common |= 1 << i
			r.commonPolicies[i] = append(r.commonPolicies[i], name)
		}
	}
}
