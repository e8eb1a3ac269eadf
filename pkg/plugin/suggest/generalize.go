// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// minMembers is the number of users or keys that Generalize replaces by a group or a pattern.
const minMembers = 2

// Generalize makes the suggested policies wider than the log: it replaces keys with a common prefix by a
// pattern, elements of a list by [*], and users by a group that all of them are in. It no longer selects
// Jobs by their labels. The notes of a suggestion say what was replaced.
func (l *Log) Generalize(suggestions []Suggestion) []Suggestion {
	var wider []Suggestion
	for _, s := range suggestions {
		s.Policy = s.Policy.DeepCopy()
		if s.Policy.Spec.JobSelector != nil {
			s.Notes = append(s.Notes, "all Jobs are selected; those in the log have "+metav1.FormatLabelSelector(s.Policy.Spec.JobSelector))
			s.Policy.Spec.JobSelector = nil
		}
		for s.generalizeFields() {
		}
		l.generalizeSubjects(&s)
		slices.Sort(s.Notes)
		s.Policy.Name = nameFor(s.Policy)
		// Different policies may have become equal.
		if i := slices.IndexFunc(wider, func(w Suggestion) bool { return w.Policy.Name == s.Policy.Name }); i >= 0 {
			wider[i].Notes = sets.List(sets.New(wider[i].Notes...).Insert(s.Notes...))
			wider[i].grants = append(wider[i].grants, s.grants...)
			l.evidenceOf(&wider[i])
			continue
		}
		wider = append(wider, s)
	}
	return wider
}

// generalizeFields replaces fields by a pattern that is wider than each of them. It returns false if there is
// no such pattern.
func (s *Suggestion) generalizeFields() bool {
	replaced := map[string][]string{} // by the pattern
	for _, field := range s.Policy.Spec.Fields {
		pattern, err := fieldpath.ParsePattern(field)
		if err != nil {
			continue
		}
		for _, wider := range pattern.Wider() {
			replaced[wider.String()] = append(replaced[wider.String()], field)
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(replaced)) {
		if len(replaced[pattern]) < minMembers {
			continue
		}
		fields := sets.New(s.Policy.Spec.Fields...).Delete(replaced[pattern]...).Insert(pattern)
		s.Policy.Spec.Fields = sets.List(fields)
		s.Notes = append(s.Notes, fmt.Sprintf("%s replaces %s", pattern, summary(replaced[pattern])))
		return true
	}
	return false
}

// generalizeSubjects replaces users by a group that all of them are in.
func (l *Log) generalizeSubjects(s *Suggestion) {
	if len(s.Policy.Spec.Subjects) < minMembers {
		return
	}
	var common sets.Set[string]
	var users []string
	for _, subject := range s.Policy.Spec.Subjects {
		name := subject.Name
		if subject.Kind == rbacv1.ServiceAccountKind {
			name = serviceAccountPrefix + subject.Namespace + ":" + subject.Name
		}
		users = append(users, strconv.Quote(name))
		groups := sets.New(l.groups[name]...)
		if common == nil {
			common = groups
		}
		common = common.Intersection(groups)
	}
	maps.DeleteFunc(common, func(group string, _ sets.Empty) bool { return strings.HasPrefix(group, "system:") })
	if len(common) == 0 {
		return
	}
	// The group with the fewest users in the log is probably the smallest.
	names := sets.List(common)
	slices.SortStableFunc(names, func(a, b string) int { return l.members(a) - l.members(b) })
	group, others := names[0], names[1:]
	note := fmt.Sprintf("the group %q replaces %s", group, summary(users))
	if len(others) > 0 {
		note += fmt.Sprintf("; they are also in %q", others)
	}
	s.Notes = append(s.Notes, note)
	s.Policy.Spec.Subjects = []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: group}}
}

// members returns the number of users in the log who are in a group.
func (l *Log) members(group string) int {
	count := 0
	for _, groups := range l.groups {
		if slices.Contains(groups, group) {
			count++
		}
	}
	return count
}

// summary joins the first texts and counts the others.
func summary(texts []string) string {
	const shown = 3
	text := strings.Join(texts[:min(shown, len(texts))], ", ")
	if more := len(texts) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
