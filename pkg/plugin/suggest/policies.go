// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

const (
	// Limits of a JobUpdatePolicy.
	maxSubjects = 256
	maxFields   = 256
	// maxComparisons is the maximum number of sets of fields that candidates compares. More take minutes.
	maxComparisons = 10_000_000
)

// Suggestion is a policy with the reasons for it.
type Suggestion struct {
	Policy *v1alpha1.JobUpdatePolicy
	// Changes is the number of changes in the log that the policy grants, made from First to Last. An update
	// of two fields counts as two changes.
	Changes     int
	First, Last time.Time
	// Notes say what Generalize has made wider.
	Notes []string
	// grants are what was suggested before Generalize.
	grants []grant
}

// grant is a set of users who may change a set of fields in a set of namespaces.
type grant struct{ users, namespaces, fields sets.Set[string] }

// changes returns all changes that the grant includes.
func (g grant) changes(visit func(change)) {
	for user := range g.users {
		for namespace := range g.namespaces {
			for field := range g.fields {
				visit(change{user, namespace, field})
			}
		}
	}
}

// Suggest returns policies that together grant the changes in the log, and nothing else. It looks for few
// policies, by putting changes into one policy that several users make in several namespaces. If all Jobs
// that a policy is for have labels in common, it selects them.
func (l *Log) Suggest() []Suggestion {
	var suggestions []Suggestion
	for _, g := range l.grants() {
		for users := range slices.Chunk(sets.List(g.users), maxSubjects) {
			for fields := range slices.Chunk(sets.List(g.fields), maxFields) {
				part := grant{sets.New(users...), g.namespaces, sets.New(fields...)}
				suggestions = append(suggestions, l.suggestion(part))
			}
		}
	}
	return suggestions
}

// grants covers the changes of the log with few grants, none of which includes another change. It always
// takes the grant with the most changes that no other one includes yet.
func (l *Log) grants() []grant {
	missing := sets.KeySet(l.changes)
	type candidate struct {
		grant
		most int // an upper bound of the number of missing changes that it includes
	}
	var candidates []candidate
	for _, g := range l.candidates() {
		candidates = append(candidates, candidate{g, len(g.users) * len(g.namespaces) * len(g.fields)})
	}
	var chosen []grant
	for len(missing) > 0 {
		slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(b.most, a.most) })
		best := 0
		for i := range candidates {
			if candidates[i].most <= candidates[best].most && i > best {
				break // no later one has more
			}
			candidates[i].most = candidates[i].count(missing)
			if candidates[i].most > candidates[best].most {
				best = i
			}
		}
		candidates[best].changes(func(c change) { missing.Delete(c) })
		chosen = append(chosen, candidates[best].grant)
		candidates = slices.Delete(candidates, best, best+1)
	}
	return chosen
}

// count returns how many of the changes the grant includes.
func (g grant) count(changes sets.Set[change]) int {
	count := 0
	g.changes(func(c change) {
		if changes.Has(c) {
			count++
		}
	})
	return count
}

// userNamespace is a user in a namespace.
type userNamespace struct{ user, namespace string }

// candidates returns grants that include only changes of the log, in a fixed order. Each change is in at
// least one of them. Two users belong to the same grant if both change the fields in all of its namespaces.
func (l *Log) candidates() []grant {
	fields := map[userNamespace]sets.Set[string]{}
	for c := range l.changes {
		at := userNamespace{c.user, c.namespace}
		if fields[at] == nil {
			fields[at] = sets.New[string]()
		}
		fields[at].Insert(c.field)
	}
	different := map[string]sets.Set[string]{} // by their text
	for _, set := range fields {
		different[strings.Join(sets.List(set), "\n")] = set
	}
	// In a huge log, only users who change exactly the same fields belong to the same grant.
	includes := sets.Set[string].IsSuperset
	if len(different)*len(fields) > maxComparisons {
		includes = sets.Set[string].Equal
	}
	var candidates []grant
	for _, text := range slices.Sorted(maps.Keys(different)) {
		set := different[text]
		namespaces := map[string]sets.Set[string]{} // by user: where the user changes all of the fields
		for at, changed := range fields {
			if len(changed) >= len(set) && includes(changed, set) {
				if namespaces[at.user] == nil {
					namespaces[at.user] = sets.New[string]()
				}
				namespaces[at.user].Insert(at.namespace)
			}
		}
		seen := sets.New[string]()
		for _, user := range slices.Sorted(maps.Keys(namespaces)) {
			if text := strings.Join(sets.List(namespaces[user]), "\n"); seen.Has(text) {
				continue
			} else {
				seen.Insert(text)
			}
			users := sets.New[string]()
			for other, where := range namespaces {
				if where.IsSuperset(namespaces[user]) {
					users.Insert(other)
				}
			}
			candidates = append(candidates, grant{users, namespaces[user], set})
		}
	}
	return candidates
}

// suggestion returns the policy for a grant.
func (l *Log) suggestion(g grant) Suggestion {
	s := Suggestion{Policy: &v1alpha1.JobUpdatePolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "JobUpdatePolicy"},
		Spec: v1alpha1.JobUpdatePolicySpec{
			NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
				Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: sets.List(g.namespaces),
			}}},
			Fields: sets.List(g.fields),
			Action: v1alpha1.Allow,
		},
	}}
	if len(g.namespaces) == 1 {
		s.Policy.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: sets.List(g.namespaces)[0]}}
	}
	for _, user := range sets.List(g.users) {
		s.Policy.Spec.Subjects = append(s.Policy.Spec.Subjects, subject(user))
	}
	s.grants = []grant{g}
	total := l.evidenceOf(&s)
	if len(total.labels) > 0 {
		s.Policy.Spec.JobSelector = &metav1.LabelSelector{MatchLabels: total.labels}
	}
	s.Policy.Name = nameFor(s.Policy)
	return s
}

// evidenceOf sums up the changes that a suggestion grants, each once, and sets them in the suggestion.
func (l *Log) evidenceOf(s *Suggestion) evidence {
	var total evidence
	counted := sets.New[change]()
	for _, g := range s.grants {
		g.changes(func(c change) {
			switch {
			case counted.Has(c):
				return
			case counted.Len() == 0:
				total = *l.changes[c]
			default:
				total.add(*l.changes[c])
			}
			counted.Insert(c)
		})
	}
	s.Changes, s.First, s.Last = total.events, total.first, total.last
	return total
}

const serviceAccountPrefix = "system:serviceaccount:"

// subject returns the subject with the name of a user.
func subject(user string) rbacv1.Subject {
	if rest, ok := strings.CutPrefix(user, serviceAccountPrefix); ok {
		if namespace, name, ok := strings.Cut(rest, ":"); ok {
			return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
		}
	}
	return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}
}

var invalidInName = regexp.MustCompile(`[^a-z0-9]+`)

// nameFor returns a name that tells the first subject and differs for each spec. So policies from another log
// do not replace the ones of this log.
func nameFor(p *v1alpha1.JobUpdatePolicy) string {
	first := p.Spec.Subjects[0]
	subject := strings.TrimPrefix(first.Namespace+"-"+first.Name, "-")
	subject = invalidInName.ReplaceAllString(strings.ToLower(subject), "-")
	subject = strings.Trim(subject[:min(len(subject), 50)], "-")
	spec, _ := json.Marshal(p.Spec) // has only strings, so there is no error
	return fmt.Sprintf("suggested-%s-%.4x", cmp.Or(subject, "user"), sha256.Sum256(spec))
}
