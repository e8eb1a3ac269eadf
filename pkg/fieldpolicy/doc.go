// Package fieldpolicy decides which fields of a Job an update may change.
//
// It is pure: it compares two Jobs and knows who asks and which policies there are, nothing
// else. It reads no configuration, talks to no server and changes none of its arguments, so
// that the rules can be tested, fuzzed and read in one place. It may import API types, those
// of pkg/apis/policy included, and apimachinery; it must not import k8s.io/apiserver or any
// other package of this module.
//
// Policies are compiled to a [Snapshot], and the work is split by cost. [Snapshot.Keep]
// answers the question that every update asks, with comparisons only. [Snapshot.Judge]
// builds the list of changed paths and finds the policies that grant each, and runs only
// where the first answer is no.
package fieldpolicy
