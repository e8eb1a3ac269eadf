// Package transitions puts every change of completions, parallelism and selector to a real Job
// controller: the product of modes, features, states and changes. An oracle of plain rules says
// which changes must be refused, and how the Job must end after the others. docs/transitions.md
// is what it says.
//
// A run takes all refused changes and a part of the allowed ones: each state of each kind of
// Job, and each change in each state, with each feature and in each mode. With
// BATCHGATE_ALL_TRANSITIONS=1 it takes all.
package transitions
