// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bodylimit

// jsonTree is the size and shape of a body in JSON.
type jsonTree struct {
	size
	// depth is the maximum depth of objects and lists, and depthSum the sum of the depths of all
	// bytes.
	depth, depthSum int
	// longestName is the length in bytes of the longest name of a member.
	longestName int
}

func scanJSON(data []byte) jsonTree {
	t := jsonTree{size: size{values: 1}}
	depth := 0
	inString, escaped := false, false
	start, length := 0, 0 // of the last string
	for i, c := range data {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
			length = i - start
		case c == '"':
			inString, start = true, i
		case c == '{', c == '[':
			depth++
			t.depth = max(t.depth, depth)
			t.objects++
			t.values++ // The first element or member follows no comma.
		case c == '}', c == ']':
			depth--
		case c == ':':
			t.longestName = max(t.longestName, length)
		case c == ',':
			t.values++
		case c == 'n': // null
			t.objects++
		}
		t.depthSum += depth
	}
	return t
}
