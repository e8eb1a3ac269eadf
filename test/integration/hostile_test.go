// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// hostileUpdates are updates that fuzzing does not find by itself: large ones, and ones with hostile
// headers. code is the expected status.
var hostileUpdates = map[string]struct {
	method, contentType, query string // if empty, a merge patch
	header                     http.Header
	body                       string
	code                       int
}{
	"5,000 labels":                          {body: manyLabels(5_000, "k%d"), code: 200},
	"labels larger than etcd's limit":       {body: manyLabels(9_000, strings.Repeat("a", 240)+"%d/a"), code: 500}, // like upstream
	"500 invalid labels":                    {body: manyLabels(500, "?%d"), code: 422},
	"label of 100 KB":                       {body: `{"metadata":{"labels":{"a":"` + strings.Repeat("x", 100_000) + `"}}}`, code: 422},
	"5,000 annotations":                     {body: strings.Replace(manyLabels(5_000, "k%d"), "labels", "annotations", 1), code: 422},
	"5,000 managedFields entries":           {body: `{"metadata":{"managedFields":[` + strings.Repeat(`{"manager":"m","operation":"Update","apiVersion":"batch/v1","fieldsType":"FieldsV1","fieldsV1":{}},`, 5_000) + `{}]}}`, code: 200},
	"managedFields emptied":                 {body: `{"metadata":{"managedFields":[]}}`, code: 200},
	"empty managedFields entry":             {body: `{"metadata":{"managedFields":[{}]}}`, code: 200},
	"forged managedFields":                  {body: `{"metadata":{"managedFields":[` + forgedManager + `]}}`, code: 200},
	"forged managedFields with suspend":     {body: `{"metadata":{"managedFields":[` + forgedManager + `]},"spec":{"suspend":true}}`, code: 422},
	"apply with forged managedFields":       {contentType: applyPatch, query: "fieldManager=forged", body: `{"apiVersion":"batch/v1","kind":"Job","metadata":{"managedFields":[` + forgedManager + `]},"spec":{"suspend":true}}`, code: 400},
	"managedFields emptied by JSON Patch":   {contentType: jsonPatch, body: `[{"op":"replace","path":"/metadata/managedFields","value":[]}]`, code: 200},
	"field manager renamed":                 {contentType: jsonPatch, body: `[{"op":"replace","path":"/metadata/managedFields/0/manager","value":"forged"}]`, code: 200},
	"deeply nested lists":                   {body: `{"deep":` + nested(300) + `}`, code: 200},
	"deeply nested objects":                 {body: strings.Repeat(`{"a":`, 300) + `1` + strings.Repeat(`}`, 300), code: 200},
	"nesting over the decoder's limit":      {body: `{"deep":` + nested(200_000) + `}`, code: 400},
	"deep nesting in JSON Patch":            {contentType: jsonPatch, body: `[{"op":"add","path":"/metadata/labels/deep","value":` + nested(5_000) + `}]`, code: 400},
	"JSON Patch path of 100 KB":             {contentType: jsonPatch, body: `[{"op":"remove","path":"` + strings.Repeat("/x", 50_000) + `"}]`, code: 422},
	"10,000 JSON Patch operations":          {contentType: jsonPatch, body: `[` + strings.Repeat(`{"op":"replace","path":"/spec/parallelism","value":7},`, 9_999) + `{"op":"remove","path":"/metadata/labels/team"}]`, code: 200},
	"JSON Patch with doubling copies":       {contentType: jsonPatch, body: doublingCopies(40), code: 422},
	"deep nesting in strategic merge patch": {contentType: strategicPatch, body: `{"deep":` + nested(5_000) + `}`, code: 400},
	"merge key of type object":              {contentType: strategicPatch, body: `{"metadata":{"ownerReferences":[{"uid":{}}]}}`, code: 400},
	"apply with recursive YAML alias":       {contentType: applyPatch, query: "fieldManager=a", body: "a: &a [*a]", code: 400},
	"apply with exponential YAML aliases": {contentType: applyPatch, query: "fieldManager=a", code: 400,
		body: "a: &a [x,x,x,x,x,x,x,x,x]\n" + yamlExpansion("a", "b", "c", "d", "e", "f", "g", "h")},
	"apply of two YAML documents":            {contentType: applyPatch, query: "fieldManager=a", body: "apiVersion: batch/v1\nkind: Job\n---\nspec: {suspend: true}\n", code: 200},
	"apply conflict":                         {contentType: applyPatch, query: "fieldManager=a&force=false", body: `{"apiVersion":"batch/v1","kind":"Job","spec":{"completions":9}}`, code: 409},
	"PUT of invalid protobuf":                {method: "PUT", contentType: "application/vnd.kubernetes.protobuf", body: "k8s\x00\xff\xff\xff\xff", code: 400},
	"PUT of truncated protobuf":              {method: "PUT", contentType: "application/vnd.kubernetes.protobuf", body: "k8s\x00\x0a\xff\xff\xff\xff\x07", code: 400},
	"PUT with recursive YAML alias":          {method: "PUT", contentType: "application/yaml", body: "a: &a [*a]", code: 400},
	"PUT of form data":                       {method: "PUT", contentType: "application/x-www-form-urlencoded", body: "spec=1", code: 415},
	"compressed body":                        {header: http.Header{"Content-Encoding": {"gzip"}}, body: gzipped(`{"spec":{"parallelism":7}}`), code: 400},
	"plain body declared as compressed":      {header: http.Header{"Content-Encoding": {"gzip"}}, body: `{"spec":{"parallelism":7}}`, code: 200},
	"two content types":                      {contentType: mergePatch + ", " + jsonPatch, body: `{}`, code: 415},
	"content type with parameter":            {contentType: mergePatch + "; charset=utf-16", body: `{"spec":{"parallelism":7}}`, code: 200},
	"content type in capital letters":        {contentType: strings.ToUpper(mergePatch), body: `{"spec":{"parallelism":7}}`, code: 415},
	"method override header":                 {header: http.Header{"X-Http-Method-Override": {"DELETE"}}, body: `{"spec":{"parallelism":7}}`, code: 200},
	"dryRun with All and empty value":        {query: "dryRun=All&dryRun=", body: `{"spec":{"parallelism":7}}`, code: 422},
	"dryRun twice":                           {query: "dryRun=All&dryRun=All", body: `{"spec":{"parallelism":7}}`, code: 200},
	"resource version 0":                     {body: `{"metadata":{"resourceVersion":"0"},"spec":{"parallelism":7}}`, code: 200},
	"negative resource version":              {body: `{"metadata":{"resourceVersion":"-1"},"spec":{"parallelism":7}}`, code: 500},
	"future resource version":                {body: `{"metadata":{"resourceVersion":"9223372036854775807"},"spec":{"parallelism":7}}`, code: 409},
	"resource version out of range":          {body: `{"metadata":{"resourceVersion":"18446744073709551616"},"spec":{"parallelism":7}}`, code: 500},
	"duplicate field":                        {body: `{"spec":{"parallelism":7,"parallelism":8}}`, code: 200},
	"duplicate field with strict validation": {query: "fieldValidation=Strict", body: `{"spec":{"parallelism":7,"parallelism":8}}`, code: 422},
	"duplicate spec that hides suspend":      {body: `{"spec":{"suspend":true},"spec":{"parallelism":7}}`, code: 200},
	"field name with other case":             {body: `{"Spec":{"Suspend":true}}`, code: 200},
	"invalid UTF-8":                          {body: "{\"metadata\":{\"labels\":{\"a\":\"\xff\"}}}", code: 422},
}

// forgedManager claims a field that no user may update.
const forgedManager = `{"manager":"forged","operation":"Apply","apiVersion":"batch/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:suspend":{}}}}`

func TestHostileUpdatesChangeNothingElse(t *testing.T) {
	v := newVictim(t)
	for name, row := range hostileUpdates {
		t.Run(name, func(t *testing.T) {
			r := request{method: row.method, contentType: row.contentType, header: row.header, body: []byte(row.body)}
			if r.method == "" {
				r.method = http.MethodPatch
			}
			if r.contentType == "" {
				r.contentType = mergePatch
			}
			for sent, send := range map[string]sender{"plain": overHTTPS, "chunked": overHTTPSChunked} {
				resp := v.sendAndCheck(t, attack{query: row.query, request: r}, send)
				if resp.code != row.code {
					t.Errorf("sent %s: got status %d, want %d: %.500s", sent, resp.code, row.code, resp.body)
				}
			}
		})
	}
}

// overHTTPSChunked sends the request without Content-Length.
func overHTTPSChunked(t *testing.T, user *attacker, r request) *response {
	t.Helper()
	req, err := r.build(t.Context(), user.server.url, io.MultiReader(bytes.NewReader(r.body)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := user.http.Do(req)
	if err != nil {
		t.Fatalf("sending chunked request: %v", err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading response: %v", err)
	}
	return &response{code: resp.StatusCode, header: resp.Header, body: content}
}
