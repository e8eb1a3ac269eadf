// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bodylimit

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	jsonType      = "application/json"
	yamlType      = "application/yaml"
	mergeType     = "application/merge-patch+json"
	strategicType = "application/strategic-merge-patch+json"
	jsonPatchType = "application/json-patch+json"
	applyType     = "application/apply-patch+yaml"
	cborType      = "application/cbor"
)

func list(n int, element string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
}

func TestCheck(t *testing.T) {
	nested := func(depth int) string { return strings.Repeat(`{"a":[`, depth/2) + strings.Repeat("]}", depth/2) }
	deep := func(depth, length int) string {
		return strings.Repeat(`{"a":`, depth) + `"` + strings.Repeat("x", length) + `"` + strings.Repeat("}", depth)
	}
	operation := `{"op":"replace","path":"/spec/parallelism","value":7}`
	aliases := func(depth int) string {
		var b strings.Builder
		b.WriteString("l0: &l0 [x,x,x,x,x,x,x,x,x]\n")
		for i := range depth {
			fmt.Fprintf(&b, "l%d: &l%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d,", i), 9), ","))
		}
		return b.String()
	}
	for name, tc := range map[string]struct {
		contentType, body string
		code              int // 0 if the body is within the limits
	}{
		"values at the limit":           {jsonType, list(maxValues-1, "1"), 0},
		"values over the limit":         {jsonType, list(maxValues, "1"), http.StatusRequestEntityTooLarge},
		"objects at the limit":          {jsonType, list(maxObjects-1, "{}"), 0},
		"objects over the limit":        {jsonType, list(maxObjects, "{}"), http.StatusRequestEntityTooLarge},
		"lists over the limit":          {jsonType, list(maxObjects, "[]"), http.StatusRequestEntityTooLarge},
		"nulls over the limit":          {jsonType, list(maxObjects, "null"), http.StatusRequestEntityTooLarge},
		"parameter of the type":         {jsonType + "; charset=utf-8", list(maxObjects, "{}"), http.StatusRequestEntityTooLarge},
		"invalid parameter of the type": {mergeType + ";x", list(maxObjects, "{}"), http.StatusRequestEntityTooLarge},
		"type in capital letters":       {strings.ToUpper(yamlType), strings.Repeat("-\n", maxObjects), http.StatusRequestEntityTooLarge},
		"no type":                       {"", list(maxObjects, "{}"), http.StatusRequestEntityTooLarge},
		"unknown type":                  {"text/plain", list(maxObjects, "{}"), http.StatusRequestEntityTooLarge},
		"separators in a string":        {jsonType, `["` + strings.Repeat("{},", maxValues) + `"]`, 0},
		"separators after a quote":      {jsonType, `["\\\"` + strings.Repeat("{},", maxValues) + `"]`, 0},
		"separators after a string":     {jsonType, `["\\"` + strings.Repeat(",{}", maxObjects) + `]`, http.StatusRequestEntityTooLarge},
		"values before a syntax error":  {jsonType, list(maxObjects, "{}") + "}", http.StatusRequestEntityTooLarge},

		"merge patch at the limit of the depth":   {mergeType, nested(maxPatchDepth), 0},
		"merge patch over the limit of the depth": {mergeType, nested(maxPatchDepth + 2), http.StatusBadRequest},
		"deep strategic merge patch":              {strategicType, nested(maxPatchDepth + 2), http.StatusBadRequest},
		"deep JSON Patch":                         {jsonPatchType, nested(maxPatchDepth + 2), http.StatusBadRequest},
		"deep for its size":                       {mergeType, deep(50, 1<<20), http.StatusBadRequest},
		"large, and as deep as a Job":             {mergeType, deep(15, 2<<20), 0},
		"deep, but no patch":                      {jsonType, nested(5_000), 0},
		"strategic merge patch at the limit":      {strategicType, list(maxStrategicObjects-1, "{}"), 0},
		"strategic merge patch over the limit":    {strategicType, list(maxStrategicObjects, "{}"), http.StatusRequestEntityTooLarge},
		"JSON Patch with many operations":         {jsonPatchType, list(10_000, operation), 0},
		"JSON Patch with one long list":           {jsonPatchType, `[{"op":"add","path":"/spec","value":` + list(50_000, "1") + `}]`, 0},
		"list operations at the limit":            {jsonPatchType, list(maxListOperations, `{"op":"add","path":"/a/0","value":1}`), 0},
		"list operations over the limit":          {jsonPatchType, list(maxListOperations+1, `{"op":"add","path":"/a/0","value":1}`), http.StatusRequestEntityTooLarge},
		"list operations with escapes":            {jsonPatchType, list(maxListOperations+1, `{"op":"\u0061dd","p\u0061th":"/a\u002f\u0030","value":1}`), http.StatusRequestEntityTooLarge},
		"list operations before an invalid one":   {jsonPatchType, "[" + strings.Repeat(`{"op":"add","path":"/a/-","PATH":"/a","value":1},`, maxListOperations+1) + `{"op":1,"path":1,"from":1}]`, http.StatusRequestEntityTooLarge},
		"list operations with negative indexes":   {jsonPatchType, list(maxListOperations+1, `{"op":"remove","path":"/a/-1"}`), http.StatusRequestEntityTooLarge},
		"list operations by move":                 {jsonPatchType, list(maxListOperations+1, `{"op":"move","from":"/a/1","path":"/b"}`), http.StatusRequestEntityTooLarge},
		"tests of elements":                       {jsonPatchType, list(10_000, `{"op":"test","path":"/a/0","value":1}`), 0},

		"name at the limit":         {jsonType, `{"` + strings.Repeat("x", maxName-1) + `" : "` + strings.Repeat("x", 1<<20) + `"}`, 0},
		"name over the limit":       {jsonType, `{"` + strings.Repeat("x", maxName) + `" : 1}`, http.StatusRequestEntityTooLarge},
		"name over the limit, YAML": {applyType, `{"` + strings.Repeat("x", maxName) + `":1}`, http.StatusRequestEntityTooLarge},

		"YAML at the limit":                 {yamlType, strings.Repeat("- \n", maxObjects-1), 0},
		"YAML block list":                   {yamlType, strings.Repeat("-\n", maxObjects), http.StatusRequestEntityTooLarge},
		"YAML block list without last line": {yamlType, strings.Repeat("-\t\r", maxObjects-1) + "-", http.StatusRequestEntityTooLarge},
		"YAML nested block list":            {yamlType, strings.Repeat("- ", maxObjects), http.StatusRequestEntityTooLarge},
		"YAML flow list":                    {yamlType, "x: [" + strings.Repeat(",", maxObjects), http.StatusRequestEntityTooLarge},
		"YAML flow list after a quote":      {yamlType, "x: it's\ny: [" + strings.Repeat("{},", maxObjects), http.StatusRequestEntityTooLarge},
		"YAML mapping":                      {yamlType, strings.Repeat("a:\n", maxObjects), http.StatusRequestEntityTooLarge},
		"YAML explicit keys":                {yamlType, strings.Repeat("? a\n", maxObjects), http.StatusRequestEntityTooLarge},
		"YAML line separators":              {yamlType, strings.Repeat("-\u2028", maxObjects), http.StatusRequestEntityTooLarge},
		"YAML in UTF-16":                    {yamlType, "\xff\xfe" + strings.Repeat("-\x00\n\x00", maxObjects), http.StatusRequestEntityTooLarge},
		"YAML script":                       {yamlType, "command: |\n" + strings.Repeat("  run --name=my-job-name --url=http://example.com\n", 40_000), 0},
		"JSON sent as YAML":                 {applyType, `{"a":"` + strings.Repeat("- : , ", maxValues) + `"}`, 0},
		"many values sent as YAML":          {applyType, list(maxObjects, "{}"), http.StatusRequestEntityTooLarge},
		"YAML aliases":                      {applyType, aliases(2), 0},
		"YAML exponential aliases":          {applyType, aliases(10), http.StatusBadRequest},
		"YAML alias of a long string":       {applyType, "a: &a " + strings.Repeat("x", 1<<20) + "\nb: " + list(10, "*a"), http.StatusBadRequest},
		"YAML recursive alias":              {applyType, "a: &a [*a]", http.StatusBadRequest},
		"YAML invalid alias":                {applyType, "a: &b [*c]", http.StatusBadRequest},

		"CBOR at the limit":         {cborType, "\x9f" + strings.Repeat("\xa0", maxObjects-1) + "\xff", 0},
		"CBOR maps":                 {cborType, "\x9f" + strings.Repeat("\xa0", maxObjects) + "\xff", http.StatusRequestEntityTooLarge},
		"CBOR lists of known size":  {cborType, "\x99\xff\xff" + strings.Repeat("\x80", 0xffff), http.StatusRequestEntityTooLarge},
		"CBOR nulls":                {"application/apply-patch+cbor", "\x9f" + strings.Repeat("\xf6", maxObjects) + "\xff", http.StatusRequestEntityTooLarge},
		"CBOR strings":              {cborType, "\x9f" + strings.Repeat("\x61a", maxValues) + "\xff", http.StatusRequestEntityTooLarge},
		"CBOR maps in a string":     {cborType, "\x7a\x00\x0f\x42\x40" + strings.Repeat("\xa0", 1_000_000), 0},
		"CBOR maps after a string":  {cborType, "\x9f\x62ab" + strings.Repeat("\xa0", maxObjects) + "\xff", http.StatusRequestEntityTooLarge},
		"CBOR maps after a number":  {cborType, "\x9f\x1b\x00\x00\x00\x00\x00\x00\x00\x00" + strings.Repeat("\xa0", maxObjects) + "\xff", http.StatusRequestEntityTooLarge},
		"CBOR truncated string":     {cborType, "\x7b\xff\xff\xff\xff\xff\xff\xff\xff", 0},
		"CBOR truncated argument":   {cborType, "\x7b\xff", 0},
		"CBOR chunks":               {cborType, "\x9f\x7f\x61a\xff" + strings.Repeat("\xa0", maxObjects) + "\xff", http.StatusRequestEntityTooLarge},
		"CBOR tagged maps":          {cborType, "\x9f" + strings.Repeat("\xc0\xa0", maxObjects) + "\xff", http.StatusRequestEntityTooLarge},
		"empty body":                {jsonType, "", 0},
		"body that is not protobuf": {protobufType, strings.Repeat("\x0a\x00", maxValues), 0},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(tc.contentType, []byte(tc.body))
			code := 0
			if status, ok := err.(apierrors.APIStatus); ok {
				code = int(status.Status().Code)
			}
			if code != tc.code || (err != nil) != (tc.code != 0) {
				t.Errorf("got %v, want code %d", err, tc.code)
			}
		})
	}
}
