// Package fieldpolicy decides which fields of a Job an update may change.
//
// It is pure: it compares two Jobs and knows who asks, nothing else. It reads no
// configuration, talks to no server and changes none of its arguments, so that the
// rules can be tested, fuzzed and read in one place. It may import API types and
// apimachinery; it must not import k8s.io/apiserver or any other package of this module.
//
// The work is split by cost. [Keep] answers the question that every update asks, with
// comparisons only. [Refused] builds the list of paths for the error message, and runs
// only once the answer is no.
package fieldpolicy
