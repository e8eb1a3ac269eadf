package fieldpolicy

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Verdict is what an update is judged to be.
type Verdict struct {
	// Job is the Job to store, as far as its spec and the metadata that can be granted go: the
	// sent one, in which all that is equal in meaning has the form that is stored. See Settle.
	Job *batchv1.Job
	// Changes are all that the update changes, sorted by path.
	Changes []Change
	// Granted are the fields that the user may change of this Job, sorted. It is filled in
	// for refused updates only.
	Granted []string
}

// Change is a change of one path.
type Change struct {
	Path Path
	// Policies are the names of the policies that grant it, sorted; none where it is refused.
	Policies []string
	// Warn is set where none of the policies allows it without a warning.
	Warn bool
}

// Refused returns the paths that no policy grants. An update that has any is refused.
func (v *Verdict) Refused() []Path {
	return v.paths(func(c Change) bool { return len(c.Policies) == 0 })
}

// Warned returns the paths that are granted with a warning.
func (v *Verdict) Warned() []Path { return v.paths(func(c Change) bool { return c.Warn }) }

func (v *Verdict) paths(is func(Change) bool) []Path {
	var paths []Path
	for _, c := range v.Changes {
		if is(c) {
			paths = append(paths, c.Path)
		}
	}
	return paths
}

// Judge compares an update with all that is granted to the user for the Job old in a
// namespace with the labels, which are nil where they are not known: then only policies that
// select all namespaces count. It compares as [Snapshot.Keep] does (nil equals empty,
// quantities by value), so that an update that Keep allows has no refused change.
func (s *Snapshot) Judge(new, old *batchv1.Job, user User, namespace labels.Set) *Verdict {
	merged, paths := compare(new, old)
	policies := s.applicable(user, old, namespace)
	v := &Verdict{Job: merged, Changes: make([]Change, len(paths))}
	refused := false
	for i, path := range paths {
		v.Changes[i] = judge(path, policies)
		refused = refused || len(v.Changes[i].Policies) == 0
	}
	if refused {
		v.Granted = fieldsOf(policies)
	}
	return v
}

// judge returns the change of a path. Where policies allow it, those that warn do not count.
func judge(path Path, policies []*policy) Change {
	steps, err := split(string(path))
	if err != nil {
		return Change{Path: path} // cannot be: then nothing grants it
	}
	var allowing, warning []string
	for _, p := range policies {
		if !slices.ContainsFunc(p.fields, func(f Field) bool { return f.covers(steps) }) {
			continue
		}
		if p.warn {
			warning = append(warning, p.name)
		} else {
			allowing = append(allowing, p.name)
		}
	}
	if len(allowing) > 0 {
		return Change{Path: path, Policies: allowing}
	}
	return Change{Path: path, Policies: warning, Warn: len(warning) > 0}
}

func fieldsOf(policies []*policy) []string {
	var fields []string
	for _, p := range policies {
		for _, f := range p.fields {
			fields = append(fields, f.String())
		}
	}
	slices.Sort(fields)
	return slices.Compact(fields)
}
