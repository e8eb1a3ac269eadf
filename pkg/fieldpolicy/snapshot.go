package fieldpolicy

import (
	"cmp"
	"encoding/json"
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
	scopes []*scope
	// whole are the fields that policies without a selector allow the subject to change, and
	// names which policies those are, for each.
	whole mask
	names [len(wholes)][]string
}

// scope is what the policies that have the same subjects and selectors grant. All grants of
// the subjects have it.
type scope struct {
	id               int
	namespaces, jobs labels.Selector // nil selects all
	fields           []*grantedField
}

// grantedField is a Field with the names of the policies that grant it, sorted.
type grantedField struct {
	field             Field
	text              string // the Field, as its String returns it
	allowing, warning []string
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
	c := compiler{snapshot: s, scopes: map[string]*scope{}, fields: map[fieldKey]*grantedField{}}
	wrong := map[string]error{}
	byName := func(a, b *v1alpha1.JobUpdatePolicy) int { return cmp.Compare(a.Name, b.Name) }
	for _, p := range slices.SortedFunc(slices.Values(policies), byName) {
		if err := c.add(p); err != nil {
			wrong[p.Name] = err
		}
	}
	return s, wrong
}

// compiler adds policies to a Snapshot, in the order of their names.
type compiler struct {
	snapshot *Snapshot
	// scopes are by subjects and selectors, as JSON. These came as JSON, which has no invalid
	// UTF-8: no two of them are written alike.
	scopes map[string]*scope
	fields map[fieldKey]*grantedField
}

type fieldKey struct {
	scope *scope
	text  string
}

func (c *compiler) add(p *v1alpha1.JobUpdatePolicy) error {
	if p.Spec.Action != v1alpha1.Warn && p.Spec.Action != v1alpha1.Allow {
		return fmt.Errorf("unknown action %q", p.Spec.Action)
	}
	namespaces, err := selector(p.Spec.NamespaceSelector)
	if err != nil {
		return fmt.Errorf("namespaceSelector: %w", err)
	}
	jobs, err := selector(p.Spec.JobSelector)
	if err != nil {
		return fmt.Errorf("jobSelector: %w", err)
	}
	var errs []error
	var fields []Field
	for _, text := range p.Spec.Fields {
		field, err := ParseField(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("field %q: %w", text, err))
			continue
		}
		fields = append(fields, field)
	}
	subjects, err := c.subjects(p.Spec.Subjects)
	errs = append(errs, err)
	scope, err := c.scope(p, subjects, namespaces, jobs)
	if err != nil {
		return err
	}
	c.grant(scope, p, fields)
	if p.Spec.Action == v1alpha1.Allow && namespaces == nil && jobs == nil {
		for _, g := range subjects {
			g.addWholes(p.Name, fields)
		}
	}
	return errors.Join(errs...)
}

// subjects returns the grants of the subjects.
func (c *compiler) subjects(subjects []rbacv1.Subject) ([]*grants, error) {
	s := c.snapshot
	if len(subjects) == 0 {
		return []*grants{&s.everyone}, nil
	}
	var all []*grants
	var errs []error
	for _, subject := range subjects {
		var g *grants
		switch subject.Kind {
		case rbacv1.UserKind:
			g = grantsOf(s.users, subject.Name)
		case rbacv1.ServiceAccountKind:
			g = grantsOf(s.users, "system:serviceaccount:"+subject.Namespace+":"+subject.Name)
		case rbacv1.GroupKind:
			g = grantsOf(s.groups, subject.Name)
		default:
			errs = append(errs, fmt.Errorf("unknown kind of subject %q", subject.Kind))
			continue
		}
		all = append(all, g)
	}
	return all, errors.Join(errs...)
}

// scope returns the scope of the policy, which has the subjects and selectors.
func (c *compiler) scope(p *v1alpha1.JobUpdatePolicy, subjects []*grants, namespaces, jobs labels.Selector) (*scope, error) {
	key, err := json.Marshal(v1alpha1.JobUpdatePolicySpec{
		Subjects:          p.Spec.Subjects,
		NamespaceSelector: p.Spec.NamespaceSelector,
		JobSelector:       p.Spec.JobSelector,
	})
	if err != nil {
		return nil, err
	}
	s := c.scopes[string(key)]
	if s == nil {
		s = &scope{id: len(c.scopes), namespaces: namespaces, jobs: jobs}
		c.scopes[string(key)] = s
		for _, g := range subjects {
			g.scopes = append(g.scopes, s)
		}
	}
	return s, nil
}

// grant adds to a scope the fields that a policy grants.
func (c *compiler) grant(to *scope, p *v1alpha1.JobUpdatePolicy, fields []Field) {
	for _, f := range fields {
		key := fieldKey{to, f.String()}
		granted := c.fields[key]
		if granted == nil {
			granted = &grantedField{field: f, text: key.text}
			c.fields[key] = granted
			to.fields = append(to.fields, granted)
		}
		names := &granted.allowing
		if p.Spec.Action == v1alpha1.Warn {
			names = &granted.warning
		}
		// A policy may have a field twice.
		if n := len(*names); n == 0 || (*names)[n-1] != p.Name {
			*names = append(*names, p.Name)
		}
	}
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

// addWholes adds the fields that a policy without a selector allows to change as a whole.
func (g *grants) addWholes(name string, fields []Field) {
	for i, w := range wholes {
		steps, _ := split(w.path)
		if slices.ContainsFunc(fields, func(f Field) bool { return f.covers(steps) }) {
			g.whole |= 1 << i
			g.names[i] = append(g.names[i], name)
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

// applicable returns the fields that are granted to the user for the Job. One that several
// scopes have is in it once for each. The labels of its namespace are nil where they are not known.
func (s *Snapshot) applicable(user User, job *batchv1.Job, namespace labels.Set) []*grantedField {
	var scopes []*scope
	s.of(user, func(g *grants) {
		for _, scope := range g.scopes {
			if scope.namespaces != nil && (namespace == nil || !scope.namespaces.Matches(namespace)) {
				continue
			}
			if scope.jobs == nil || scope.jobs.Matches(labels.Set(job.Labels)) {
				scopes = append(scopes, scope)
			}
		}
	})
	// A user may be more than one subject of a policy.
	slices.SortFunc(scopes, func(a, b *scope) int { return cmp.Compare(a.id, b.id) })
	var fields []*grantedField
	for _, scope := range slices.Compact(scopes) {
		fields = append(fields, scope.fields...)
	}
	return fields
}
