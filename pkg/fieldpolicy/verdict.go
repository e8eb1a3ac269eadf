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
	// The list is shared with other verdicts, and must not be changed.
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
	granted := s.applicable(user, old, namespace)
	v := &Verdict{Job: merged, Changes: make([]Change, len(paths))}
	refused := false
	for i, path := range paths {
		v.Changes[i] = judge(path, granted)
		refused = refused || len(v.Changes[i].Policies) == 0
	}
	if refused {
		v.Granted = textsOf(granted)
	}
	return v
}

// judge returns the change of a path. Where policies allow it, those that warn do not count.
func judge(path Path, granted []*grantedField) Change {
	steps, err := split(string(path))
	if err != nil {
		return Change{Path: path} // cannot be: then nothing grants it
	}
	var allowing, warning [][]string
	for _, g := range granted {
		if !g.field.covers(steps) {
			continue
		}
		if len(g.allowing) > 0 {
			allowing = append(allowing, g.allowing)
		}
		if len(g.warning) > 0 {
			warning = append(warning, g.warning)
		}
	}
	if len(allowing) > 0 {
		return Change{Path: path, Policies: union(allowing)}
	}
	return Change{Path: path, Policies: union(warning), Warn: len(warning) > 0}
}

// union returns what is in any of the sorted lists, sorted. It is one of them where there is
// no other, and must not be changed.
func union(lists [][]string) []string {
	if len(lists) == 1 {
		return slices.Clip(lists[0])
	}
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

func textsOf(granted []*grantedField) []string {
	texts := make([]string, len(granted))
	for i, g := range granted {
		texts[i] = g.text
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}
