// Package transitions puts every change of completions, parallelism and selector to a real Job
// controller: the product of modes, features, states and changes. An oracle of plain rules says
// which changes must be refused, and how the Job must end after the others. docs/transitions.md
// is what it says.
package transitions
