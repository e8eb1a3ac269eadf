// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import "slices"

// Index finds the patterns that match a path. The time depends on the length of the path, and
// hardly on the number of patterns. The zero Index is empty.
type Index struct {
	root indexNode
	size int
}

// indexNode stands for the beginning of all patterns that begin with the same steps. Most nodes are the
// end of one pattern, so they are small.
type indexNode struct {
	// number is one more than the number of the pattern that ends here, or zero.
	number int
	next   *nextNodes // nil if no pattern goes on
}

// nextNodes are the nodes that the next step of a pattern leads to.
type nextNodes struct {
	exact map[string]*indexNode // by the text of the step
	any   *indexNode
	// prefixes has the nodes of steps ["prefix*"] by their prefix. prefixLengths are the different
	// lengths of its keys, sorted.
	prefixes      map[string]*indexNode
	prefixLengths []int
}

// Add adds a pattern and returns its number. Equal patterns have the same number. Numbers start at
// zero and are consecutive.
func (x *Index) Add(p Pattern) int {
	n := &x.root
	for _, s := range p.steps {
		if n.next == nil {
			n.next = &nextNodes{}
		}
		n = n.next.getOrCreate(s)
	}
	if n.number == 0 {
		x.size++
		n.number = x.size
	}
	return n.number - 1
}

// getOrCreate returns the node that a step of a pattern leads to. It creates the node if it is missing.
func (n *nextNodes) getOrCreate(s step) *indexNode {
	if s.kind == stepAny {
		if n.any == nil {
			n.any = &indexNode{}
		}
		return n.any
	}
	nodes, key := &n.exact, s.text
	if prefix, ok := s.keyPrefix(); ok {
		nodes, key = &n.prefixes, prefix
		if i, found := slices.BinarySearch(n.prefixLengths, len(prefix)); !found {
			n.prefixLengths = slices.Insert(n.prefixLengths, i, len(prefix))
		}
	}
	if *nodes == nil {
		*nodes = map[string]*indexNode{}
	}
	if (*nodes)[key] == nil {
		(*nodes)[key] = &indexNode{}
	}
	return (*nodes)[key]
}

// AppendMatches appends the numbers of the patterns that match the path, or a path above it.
func (x *Index) AppendMatches(numbers []int, path Path) []int {
	return x.root.appendMatches(numbers, path.steps)
}

func (n *indexNode) appendMatches(numbers []int, steps []step) []int {
	if n.number > 0 {
		numbers = append(numbers, n.number-1)
	}
	if len(steps) == 0 || n.next == nil {
		return numbers
	}
	return n.next.appendMatches(numbers, steps[0], steps[1:])
}

func (n *nextNodes) appendMatches(numbers []int, s step, rest []step) []int {
	if next := n.exact[s.text]; next != nil {
		numbers = next.appendMatches(numbers, rest)
	}
	if n.any != nil && s.kind != stepField {
		numbers = n.any.appendMatches(numbers, rest)
	}
	if s.kind != stepKey {
		return numbers
	}
	for _, length := range n.prefixLengths {
		if length > len(s.text) {
			break
		}
		if next := n.prefixes[s.text[:length]]; next != nil {
			numbers = next.appendMatches(numbers, rest)
		}
	}
	return numbers
}
