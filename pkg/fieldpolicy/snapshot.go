// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// User is the user that sends an update. Policies without subjects also apply to the zero
// User.
type User struct {
	Name   string
	Groups []string
}

// Snapshot is an immutable set of compiled policies. The zero Snapshot grants nothing.
type Snapshot struct {
	everyone      subjectRules
	users, groups map[string]*subjectRules
	// patterns has the patterns of all rules. grants has the grants of each pattern, by its number.
	patterns fieldpath.Index
	grants   [][]*grant
	// rules is the number of rules.
	rules int
}

// subjectRules are the rules of one subject.
type subjectRules struct {
	rules []*rule
	// common are the fields that policies with the action Allow and without selectors grant
	// entirely, and commonPolicies the names of these policies by field.
	common         commonFieldSet
	commonPolicies [len(commonFields)][]string
}

// rule holds the grants of all policies with the same subjects and selectors. Its subjects share
// it.
type rule struct {
	id               int             // less than Snapshot.rules
	namespaces, jobs labels.Selector // nil selects all
	grants           []*grant        // sorted by their patterns' texts
}

// grant is a path pattern of a rule with the sorted names of the policies that grant it.
type grant struct {
	rule                *rule
	pattern             fieldpath.Pattern
	allowedBy, warnedBy []string
}

var errNotLoaded = errors.New("the JobUpdatePolicies are not loaded yet")

// SnapshotStore holds the current Snapshot. It is safe for concurrent use. The zero value is
// ready to use.
type SnapshotStore struct {
	snapshot    atomic.Pointer[Snapshot]
	unavailable atomic.Pointer[error]
}

// Set replaces the current Snapshot.
func (s *SnapshotStore) Set(snapshot *Snapshot) { s.snapshot.Store(snapshot) }

// SetUnavailable sets the reason why the policies must not be used, or clears it with nil.
func (s *SnapshotStore) SetUnavailable(reason error) {
	if reason == nil {
		s.unavailable.Store(nil)
		return
	}
	s.unavailable.Store(&reason)
}

// Err returns an error if the policies must not be used: before the first Set, and while
// SetUnavailable has set a reason.
func (s *SnapshotStore) Err() error {
	reason := s.unavailable.Load()
	switch {
	case !s.HasSynced() && reason != nil:
		return fmt.Errorf("%w: %w", errNotLoaded, *reason)
	case !s.HasSynced():
		return errNotLoaded
	case reason != nil:
		return *reason
	}
	return nil
}

// HasSynced reports whether Set was called.
func (s *SnapshotStore) HasSynced() bool { return s.snapshot.Load() != nil }

// Get returns the current Snapshot, or one that grants nothing before the first Set.
func (s *SnapshotStore) Get() *Snapshot {
	if snapshot := s.snapshot.Load(); snapshot != nil {
		return snapshot
	}
	return &Snapshot{}
}

// forSubjects calls visit with the rules of each subject that matches the user.
func (s *Snapshot) forSubjects(user User, visit func(*subjectRules)) {
	visit(&s.everyone)
	if r := s.users[user.Name]; r != nil {
		visit(r)
	}
	for _, name := range user.Groups {
		if r := s.groups[name]; r != nil {
			visit(r)
		}
	}
}

// ruleSet are the rules that match a user, the labels of a Job and the labels of its namespace. It
// evaluates the selectors of a rule when it is first asked about the rule, because callers usually
// ask about a few of many rules. It is not safe for concurrent use.
type ruleSet struct {
	job             labels.Set
	namespaceLabels func() labels.Set
	// candidates match the user.
	candidates []*rule
	// states has the state of each rule by its id.
	states []ruleState
}

type ruleState uint8

const (
	otherSubject ruleState = iota
	notEvaluated           // the rule matches the user
	matching
	notMatching
)

// rulesFor returns the rules for a user, the labels of a Job and the labels of its namespace, which
// are nil if they are unknown.
func (s *Snapshot) rulesFor(user User, job labels.Set, namespaceLabels func() labels.Set) *ruleSet {
	set := &ruleSet{job: job, namespaceLabels: sync.OnceValue(namespaceLabels), states: make([]ruleState, s.rules)}
	s.forSubjects(user, func(r *subjectRules) {
		for _, rule := range r.rules {
			if set.states[rule.id] == otherSubject {
				set.states[rule.id] = notEvaluated
				set.candidates = append(set.candidates, rule)
			}
		}
	})
	return set
}

func (s *ruleSet) has(r *rule) bool {
	state := &s.states[r.id]
	if *state == notEvaluated {
		*state = notMatching
		if r.matches(s.job, s.namespaceLabels) {
			*state = matching
		}
	}
	return *state == matching
}

func (r *rule) matches(job labels.Set, namespaceLabels func() labels.Set) bool {
	if r.jobs != nil && !r.jobs.Matches(job) {
		return false
	}
	if r.namespaces == nil {
		return true
	}
	namespace := namespaceLabels()
	return namespace != nil && r.namespaces.Matches(namespace)
}
