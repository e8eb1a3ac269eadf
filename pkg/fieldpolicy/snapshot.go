package fieldpolicy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// User is who asks for an update. The zero User has the grants of everybody.
type User struct {
	// Name is the authenticated user name.
	Name string
	// Groups are the groups the user is in.
	Groups []string
}

// Snapshot is a set of policies in the form in which updates are judged. It does not change.
// The zero Snapshot allows nothing.
type Snapshot struct {
	everyone      grants
	users, groups map[string]*grants
}

// grants are what policies grant to one subject.
type grants struct {
	policies []*policy
	// whole are the fields that policies without a selector allow the subject to change, and
	// names which policies those are, for each.
	whole mask
	names [len(wholes)][]string
}

// policy is a compiled policy.
type policy struct {
	name             string
	namespaces, jobs labels.Selector // nil selects all
	fields           []Field
	warn             bool
}

// Source holds the Snapshot that is in force. It may be used by several goroutines.
type Source struct {
	snapshot atomic.Pointer[Snapshot]
}

// Store puts a Snapshot into force.
func (s *Source) Store(snapshot *Snapshot) { s.snapshot.Store(snapshot) }

// Loaded reports whether there is one in force.
func (s *Source) Loaded() bool { return s.snapshot.Load() != nil }

// Load returns the Snapshot in force. Before there is one it is the zero one, which allows
// nothing.
func (s *Source) Load() *Snapshot {
	if snapshot := s.snapshot.Load(); snapshot != nil {
		return snapshot
	}
	return &Snapshot{}
}

// Compile returns the Snapshot of policies, and for those that have something wrong with
// them an error under their name. What is wrong, a field or a subject, grants nothing; the rest
// of such a policy does. A policy with a selector or an action that is wrong grants nothing.
func Compile(policies []*v1alpha1.JobUpdatePolicy) (*Snapshot, map[string]error) {
	s := &Snapshot{users: map[string]*grants{}, groups: map[string]*grants{}}
	wrong := map[string]error{}
	byName := func(a, b *v1alpha1.JobUpdatePolicy) int { return cmp.Compare(a.Name, b.Name) }
	for _, p := range slices.SortedFunc(slices.Values(policies), byName) {
		if err := s.add(p); err != nil {
			wrong[p.Name] = err
		}
	}
	return s, wrong
}

func (s *Snapshot) add(p *v1alpha1.JobUpdatePolicy) error {
	compiled := &policy{name: p.Name, warn: p.Spec.Action == v1alpha1.Warn}
	if !compiled.warn && p.Spec.Action != v1alpha1.Allow {
		return fmt.Errorf("unknown action %q", p.Spec.Action)
	}
	var err error
	if compiled.namespaces, err = selector(p.Spec.NamespaceSelector); err != nil {
		return fmt.Errorf("namespaceSelector: %w", err)
	}
	if compiled.jobs, err = selector(p.Spec.JobSelector); err != nil {
		return fmt.Errorf("jobSelector: %w", err)
	}
	var errs []error
	for _, text := range p.Spec.Fields {
		field, err := ParseField(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("field %q: %w", text, err))
			continue
		}
		compiled.fields = append(compiled.fields, field)
	}
	if len(p.Spec.Subjects) == 0 {
		s.everyone.add(compiled)
	}
	for _, subject := range p.Spec.Subjects {
		switch subject.Kind {
		case rbacv1.UserKind:
			grantsOf(s.users, subject.Name).add(compiled)
		case rbacv1.ServiceAccountKind:
			grantsOf(s.users, "system:serviceaccount:"+subject.Namespace+":"+subject.Name).add(compiled)
		case rbacv1.GroupKind:
			grantsOf(s.groups, subject.Name).add(compiled)
		default:
			errs = append(errs, fmt.Errorf("unknown kind of subject %q", subject.Kind))
		}
	}
	return errors.Join(errs...)
}

// selector returns nil for a selector that selects all. One that is missing selects nothing.
func selector(s *metav1.LabelSelector) (labels.Selector, error) {
	compiled, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || compiled.Empty() {
		return nil, err
	}
	return compiled, nil
}

func grantsOf(subjects map[string]*grants, name string) *grants {
	g := subjects[name]
	if g == nil {
		g = &grants{}
		subjects[name] = g
	}
	return g
}

func (g *grants) add(p *policy) {
	g.policies = append(g.policies, p)
	if p.warn || p.namespaces != nil || p.jobs != nil {
		return
	}
	for i, w := range wholes {
		steps, _ := split(w.path)
		if slices.ContainsFunc(p.fields, func(f Field) bool { return f.covers(steps) }) {
			g.whole |= 1 << i
			g.names[i] = append(g.names[i], p.name)
		}
	}
}

// of calls visit with the grants of each subject that the user is.
func (s *Snapshot) of(user User, visit func(*grants)) {
	visit(&s.everyone)
	if g := s.users[user.Name]; g != nil {
		visit(g)
	}
	for _, name := range user.Groups {
		if g := s.groups[name]; g != nil {
			visit(g)
		}
	}
}

// Keep returns the Job to store for an update from old to new, and whether fields that are
// granted as a whole, for all Jobs, are all that it changes. Where the answer is no, the
// result is nil, and [Snapshot.Judge] has the verdict.
//
// The result is old with those fields taken from new, so that a field that is equal in
// meaning keeps the bytes that are stored (a quantity of 1Gi sent as 1073741824 stays 1Gi).
// It shares memory with both arguments, and neither is changed. Its status is that of new:
// which of the two statuses counts depends on the endpoint.
func (s *Snapshot) Keep(new, old *batch.Job, user User) (*batch.Job, bool) {
	var granted mask
	s.of(user, func(g *grants) { granted |= g.whole })
	return keep(new, old, granted)
}

// Granting returns the names of the policies, sorted, by which Keep allows an update.
func (s *Snapshot) Granting(new, old *batch.Job, user User) []string {
	var names []string
	s.of(user, func(g *grants) {
		for i := range wholes {
			if g.whole.has(i) && !wholes[i].equal(new, old) {
				names = append(names, g.names[i]...)
			}
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// applicable returns the policies that grant something to the user for the Job. The labels
// of its namespace are nil where they are not known.
func (s *Snapshot) applicable(user User, job *batchv1.Job, namespace labels.Set) []*policy {
	var policies []*policy
	s.of(user, func(g *grants) {
		for _, p := range g.policies {
			if p.namespaces != nil && (namespace == nil || !p.namespaces.Matches(namespace)) {
				continue
			}
			if p.jobs == nil || p.jobs.Matches(labels.Set(job.Labels)) {
				policies = append(policies, p)
			}
		}
	})
	// A user may be more than one subject of a policy.
	slices.SortFunc(policies, func(a, b *policy) int { return cmp.Compare(a.name, b.name) })
	return slices.Compact(policies)
}
