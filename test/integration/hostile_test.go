package integration

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// hostile are updates that fuzzing does not come to by itself: large ones, and those whose
// headers are what is wrong with them. Each is answered with the code, and changes what it may
// only.
var hostile = map[string]struct {
	method, contentType, query string // a merge patch where they are empty
	header                     http.Header
	body                       string
	code                       int
}{
	"5,000 labels":                       {body: manyLabels(5_000, "k%d"), code: 200},
	"more labels than etcd takes":        {body: manyLabels(9_000, strings.Repeat("a", 240)+"%d/a"), code: 500}, // upstream's answer
	"500 labels that are not valid":      {body: manyLabels(500, "?%d"), code: 422},
	"a label of 100 KB":                  {body: `{"metadata":{"labels":{"a":"` + strings.Repeat("x", 100_000) + `"}}}`, code: 422},
	"5,000 annotations":                  {body: strings.Replace(manyLabels(5_000, "k%d"), "labels", "annotations", 1), code: 422},
	"5,000 managers of fields":           {body: `{"metadata":{"managedFields":[` + strings.Repeat(`{"manager":"m","operation":"Update","apiVersion":"batch/v1","fieldsType":"FieldsV1","fieldsV1":{}},`, 5_000) + `{}]}}`, code: 200},
	"emptied managers of fields":         {body: `{"metadata":{"managedFields":[]}}`, code: 200},
	"an empty manager of fields":         {body: `{"metadata":{"managedFields":[{}]}}`, code: 200},
	"a forged manager of fields":         {body: `{"metadata":{"managedFields":[` + forgedManager + `]}}`, code: 200},
	"a forged manager that takes fields": {body: `{"metadata":{"managedFields":[` + forgedManager + `]},"spec":{"suspend":true}}`, code: 422},
	"a forged manager that applies":      {contentType: applyPatch, query: "fieldManager=forged", body: `{"apiVersion":"batch/v1","kind":"Job","metadata":{"managedFields":[` + forgedManager + `]},"spec":{"suspend":true}}`, code: 400},
	"managers emptied by a JSON Patch":   {contentType: jsonPatch, body: `[{"op":"replace","path":"/metadata/managedFields","value":[]}]`, code: 200},
	"a renamed manager of fields":        {contentType: jsonPatch, body: `[{"op":"replace","path":"/metadata/managedFields/0/manager","value":"forged"}]`, code: 200},
	"deep nesting":                       {body: `{"deep":` + nested(300) + `}`, code: 200},
	"deep nesting of objects":            {body: strings.Repeat(`{"a":`, 300) + `1` + strings.Repeat(`}`, 300), code: 200},
	"nesting beyond the decoder's limit": {body: `{"deep":` + nested(200_000) + `}`, code: 400},
	"deep nesting in a JSON Patch":       {contentType: jsonPatch, body: `[{"op":"add","path":"/metadata/labels/deep","value":` + nested(5_000) + `}]`, code: 422},
	"a path of 100 KB":                   {contentType: jsonPatch, body: `[{"op":"remove","path":"` + strings.Repeat("/x", 50_000) + `"}]`, code: 422},
	"10,000 operations":                  {contentType: jsonPatch, body: `[` + strings.Repeat(`{"op":"replace","path":"/spec/parallelism","value":7},`, 9_999) + `{"op":"remove","path":"/metadata/labels/team"}]`, code: 200},
	"copies that double each time":       {contentType: jsonPatch, body: doublingCopies(40), code: 422},
	"deep nesting in a strategic patch":  {contentType: strategicPatch, body: `{"deep":` + nested(5_000) + `}`, code: 200},
	"a merge key that is an object":      {contentType: strategicPatch, body: `{"metadata":{"ownerReferences":[{"uid":{}}]}}`, code: 400},
	"an apply that names itself":         {contentType: applyPatch, query: "fieldManager=a", body: "a: &a [*a]", code: 400},
	"an apply that grows when it is read": {contentType: applyPatch, query: "fieldManager=a", code: 400,
		body: "a: &a [x,x,x,x,x,x,x,x,x]\n" + yamlExpansion("a", "b", "c", "d", "e", "f", "g", "h")},
	"an apply of two documents":             {contentType: applyPatch, query: "fieldManager=a", body: "apiVersion: batch/v1\nkind: Job\n---\nspec: {suspend: true}\n", code: 200},
	"an apply of fields of another manager": {contentType: applyPatch, query: "fieldManager=a&force=false", body: `{"apiVersion":"batch/v1","kind":"Job","spec":{"completions":9}}`, code: 409},
	"a PUT that is no protobuf":             {method: "PUT", contentType: "application/vnd.kubernetes.protobuf", body: "k8s\x00\xff\xff\xff\xff", code: 400},
	"a PUT of protobuf without an end":      {method: "PUT", contentType: "application/vnd.kubernetes.protobuf", body: "k8s\x00\x0a\xff\xff\xff\xff\x07", code: 400},
	"a PUT of YAML that names itself":       {method: "PUT", contentType: "application/yaml", body: "a: &a [*a]", code: 400},
	"a PUT of a form":                       {method: "PUT", contentType: "application/x-www-form-urlencoded", body: "spec=1", code: 415},
	"a compressed body":                     {header: http.Header{"Content-Encoding": {"gzip"}}, body: gzipped(`{"spec":{"parallelism":7}}`), code: 400},
	"a body that only says it is":           {header: http.Header{"Content-Encoding": {"gzip"}}, body: `{"spec":{"parallelism":7}}`, code: 200},
	"two content types":                     {contentType: mergePatch + ", " + jsonPatch, body: `{}`, code: 415},
	"a content type with a parameter":       {contentType: mergePatch + "; charset=utf-16", body: `{"spec":{"parallelism":7}}`, code: 200},
	"a content type in capitals":            {contentType: strings.ToUpper(mergePatch), body: `{"spec":{"parallelism":7}}`, code: 415},
	"another method in a header":            {header: http.Header{"X-Http-Method-Override": {"DELETE"}}, body: `{"spec":{"parallelism":7}}`, code: 200},
	"a dry run, and not":                    {query: "dryRun=All&dryRun=", body: `{"spec":{"parallelism":7}}`, code: 422},
	"a dry run, twice":                      {query: "dryRun=All&dryRun=All", body: `{"spec":{"parallelism":7}}`, code: 200},
	"resource version 0":                    {body: `{"metadata":{"resourceVersion":"0"},"spec":{"parallelism":7}}`, code: 200},
	"a negative resource version":           {body: `{"metadata":{"resourceVersion":"-1"},"spec":{"parallelism":7}}`, code: 500},
	"a resource version to come":            {body: `{"metadata":{"resourceVersion":"9223372036854775807"},"spec":{"parallelism":7}}`, code: 409},
	"a resource version that is none":       {body: `{"metadata":{"resourceVersion":"18446744073709551616"},"spec":{"parallelism":7}}`, code: 500},
	"a field twice":                         {body: `{"spec":{"parallelism":7,"parallelism":8}}`, code: 200},
	"a field twice, strictly":               {query: "fieldValidation=Strict", body: `{"spec":{"parallelism":7,"parallelism":8}}`, code: 422},
	"a field twice, to hide one":            {body: `{"spec":{"suspend":true},"spec":{"parallelism":7}}`, code: 200},
	"a field in other letters":              {body: `{"Spec":{"Suspend":true}}`, code: 200},
	"text that is no UTF-8":                 {body: "{\"metadata\":{\"labels\":{\"a\":\"\xff\"}}}", code: 422},
}

// forgedManager claims a field that nobody may change.
const forgedManager = `{"manager":"forged","operation":"Apply","apiVersion":"batch/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:suspend":{}}}}`

func TestHostileUpdatesChangeNothingElse(t *testing.T) {
	v := newVictim(t)
	for name, row := range hostile {
		t.Run(name, func(t *testing.T) {
			r := request{method: row.method, contentType: row.contentType, header: row.header, body: []byte(row.body)}
			if r.method == "" {
				r.method = http.MethodPatch
			}
			if r.contentType == "" {
				r.contentType = mergePatch
			}
			for sent, send := range map[string]sender{"as it is": overHTTPS, "in chunks": overHTTPSChunked} {
				resp := v.sendAndCheck(t, attack{query: row.query, request: r}, send)
				if resp.code != row.code {
					t.Errorf("sent %s, the answer is %d, want %d: %.500s", sent, resp.code, row.code, resp.body)
				}
			}
		})
	}
}

// overHTTPSChunked sends the request by a connection, without telling how long it is.
func overHTTPSChunked(t *testing.T, user *attacker, r request) *response {
	t.Helper()
	req, err := r.build(t.Context(), user.server.url, io.MultiReader(bytes.NewReader(r.body)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := user.http.Do(req)
	if err != nil {
		t.Fatalf("sending in chunks: %v", err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return &response{code: resp.StatusCode, header: resp.Header, body: content}
}
