// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// generateBody returns the body of an update that makes the changes. shown is the Job as the
// server returned it.
func generateBody(t testing.TB, d *dice, update updateType, changes []change, shown []byte) []byte {
	t.Helper()
	switch update.name {
	case "JSON patch":
		var operations []any
		for _, c := range changes {
			operations = append(operations, c.operation(d, pick(d, changes)))
		}
		return encode(t, operations)
	case "merge patch", "strategic merge patch":
		var body any = map[string]any{}
		if d.roll(8) == 7 { // also send all other fields
			body = decoded(t, shown)
		}
		for _, c := range changes {
			if c.value == nil {
				c.value = json.RawMessage(`null`)
			}
			body = c.put(body)
		}
		return encode(t, body)
	default:
		job := decoded(t, shown)
		if metadata := job.(map[string]any)["metadata"].(map[string]any); update.name == "apply" {
			delete(metadata, "managedFields")
			if d.roll(2) == 1 { // send only the changes
				job = map[string]any{"apiVersion": "batch/v1", "kind": "Job"}
			}
		}
		for _, c := range changes {
			job = c.put(job)
		}
		return encode(t, job)
	}
}

func decoded(t testing.TB, content []byte) (value any) {
	t.Helper()
	if err := json.Unmarshal(content, &value); err != nil {
		t.Fatalf("decoding Job: %v", err)
	}
	return value
}

// corruptBody corrupts one in three bodies: it truncates them, repeats fields, breaks the encoding
// and so on.
func corruptBody(d *dice, body []byte) []byte {
	switch d.roll(24) {
	case 16:
		return body[:d.roll(len(body)+1)]
	case 17:
		return append(body, pick(d, []string{"{}", "\x00", "]", "\n---\n{}", "null"})...)
	case 18: // duplicate field; the second one counts
		return bytes.Replace(body, []byte("{"), []byte(pick(d, []string{`{"spec":{"suspend":true},`, `{"metadata":{"annotations":{"x":"y"}},`, `{"op":"remove",`})), 1)
	case 19:
		return bytes.Replace(body, []byte(`"spec"`), []byte(pick(d, []string{`"Spec"`, `"\u0073pec"`, `"spec\u0000"`, "\"spec\xff\""})), 1)
	case 20:
		if y, err := yaml.JSONToYAML(body); err == nil {
			return y
		}
	case 21:
		return append([]byte(pick(d, []string{"\xef\xbb\xbf", " \n", "\xff\xfe", "k8s\x00"})), body...)
	case 22:
		deep := 1 << d.roll(9) // deeper nesting is slow, see docs/development/fuzzing.md
		return bytes.Replace(body, []byte("{"), []byte(`{"deep":`+strings.Repeat("[", deep)+strings.Repeat("]", deep)+`,`), 1)
	case 23:
		return bytes.Replace(body, []byte(`"`), []byte{'"', 0xff}, 1+d.roll(20))
	}
	return body
}
