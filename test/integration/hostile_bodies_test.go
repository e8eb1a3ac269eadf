// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
)

// manyLabels returns a merge patch that adds n labels. name is a format for the label's number.
func manyLabels(n int, name string) string {
	var b strings.Builder
	b.WriteString(`{"metadata":{"labels":{`)
	for i := range n {
		fmt.Fprintf(&b, `"`+name+`":"v",`, i)
	}
	return strings.TrimSuffix(b.String(), ",") + `}}}`
}

// doublingCopies returns a JSON Patch that copies the template into itself n times.
func doublingCopies(n int) string {
	var operations []string
	for i := range n {
		operations = append(operations, fmt.Sprintf(`{"op":"copy","from":"/spec/template","path":"/spec/template/copy%d"}`, i))
	}
	return "[" + strings.Join(operations, ",") + "]"
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// yamlExpansion returns YAML lists that each contain nine aliases of the list before.
func yamlExpansion(names ...string) string {
	var b strings.Builder
	for i, name := range names[1:] {
		fmt.Fprintf(&b, "%s: &%s [%s]\n", name, name, strings.TrimSuffix(strings.Repeat("*"+names[i]+",", 9), ","))
	}
	return b.String()
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}
