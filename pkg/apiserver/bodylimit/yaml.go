// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bodylimit

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// maxExpandedBytes is the maximum size of a body in YAML after its aliases are replaced. It equals
// upstream's limit for the size of any body.
const maxExpandedBytes = 3 << 20

// checkYAML checks a body in YAML. kubectl sends JSON with a Content-Type of YAML, and such a body
// counts as JSON. In other YAML, each character that may separate two values counts as a value, even in
// a string or a comment. Each value also counts as an object, because an empty value is a null.
func checkYAML(data []byte) error {
	if json.Valid(data) {
		return checkJSON(scanJSON(data), maxObjects)
	}
	n := 1
	for i, c := range data {
		switch c {
		case ',', '[', '{':
			n++
		case '-', '?', ':':
			if i+1 == len(data) || data[i+1] <= ' ' || data[i+1] >= 0x7f {
				n++
			}
		}
	}
	if err := checkSize(size{values: n, objects: n}, maxObjects); err != nil {
		return err
	}
	if !bytes.ContainsRune(data, '*') || !bytes.ContainsRune(data, '&') {
		return nil
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("error parsing YAML: %v", err))
	}
	if e := (expander{}).expand(&document); e.nodes > maxObjects || e.bytes > maxExpandedBytes {
		return apierrors.NewBadRequest("the aliases in the YAML expand to too many values")
	}
	return nil
}

// expansion is the size of a YAML node after its aliases are replaced.
type expansion struct{ nodes, bytes int }

// unlimited is small enough that the sum of all nodes of a body does not overflow.
var unlimited = expansion{1 << 32, 1 << 32}

// expander has the expansions of the nodes that it has visited.
type expander map[*yaml.Node]expansion

func (e expander) expand(n *yaml.Node) expansion {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if known, ok := e[n]; ok {
		return known
	}
	e[n] = unlimited // if it contains itself
	sum := expansion{1, len(n.Value)}
	for _, child := range n.Content {
		c := e.expand(child)
		sum.nodes += c.nodes
		sum.bytes += c.bytes
	}
	sum.nodes, sum.bytes = min(sum.nodes, unlimited.nodes), min(sum.bytes, unlimited.bytes)
	e[n] = sum
	return sum
}
