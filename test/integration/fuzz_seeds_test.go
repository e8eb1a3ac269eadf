// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"maps"
	"slices"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

// seedPatches returns the patches of the tables in this package, in a fixed order.
func seedPatches() []string {
	var patches []string
	for _, name := range slices.Sorted(maps.Keys(allowedChanges)) {
		patches = append(patches, allowedChanges[name].patch)
	}
	for _, name := range slices.Sorted(maps.Keys(deniedChanges)) {
		patches = append(patches, deniedChanges[name].patch)
	}
	return patches
}

// seed returns the body that makes the change to one of the Jobs. It returns false if the patch
// does not apply to that Job.
func (v *victim) seed(t testing.TB, update updateType, job int, patch string) ([]byte, bool) {
	t.Helper()
	shown := v.jobs[job].shown
	decoded, err := jsonpatch.DecodePatch([]byte(patch))
	if err != nil {
		t.Fatalf("decoding patch %s: %v", patch, err)
	}
	if _, err := decoded.Apply(shown); err != nil {
		return nil, false
	}
	return update.bodyFor(t, patch, shown), true
}

// queries are valid and invalid query strings of updates.
var queries = []string{
	"dryRun=All", "dryRun=All&dryRun=All", "dryRun=Some", "dryRun=", "dryRun=all", "dryRun=All;x", "dryrun=All",
	"fieldValidation=Strict", "fieldValidation=Warn", "fieldValidation=Ignore", "fieldValidation=Never", "fieldValidation=Strict&fieldValidation=Ignore",
	"fieldManager=other", "fieldManager=other&force=true", "fieldManager=other&force=false", "fieldManager=", "fieldManager=%00", "force=true", "force=perhaps",
	"fieldManager=a&fieldManager=b&force=true", "fieldManager=" + strings.Repeat("m", 129),
	"resourceVersion=" + latestPlaceholder, "resourceVersion=1", "resourceVersion=0&resourceVersionMatch=Exact", "pretty=true", "watch=true", "%zz=1", "&&&=&=;",
	"propagationPolicy=Orphan", "gracePeriodSeconds=0", "export=true", "orphanDependents=true", "limit=1", "continue=x",
}

// hostileBodies are hostile bodies by the name of the update type.
var hostileBodies = map[string][]string{
	"JSON patch": {
		`[]`, `null`, `{}`, `[null]`, `[[]]`, `[{}]`, `[{"op":"add"}]`, `[{"op":"explode","path":"/spec"}]`,
		`[{"op":"add","path":"","value":{}}]`, `[{"op":"replace","path":"","value":null}]`, `[{"op":"remove","path":""}]`, `[{"op":"remove","path":"/"}]`,
		`[{"op":"copy","from":"/spec","path":"/spec/template/spec/spec"}]`, `[{"op":"move","from":"/spec","path":"/spec/template"}]`,
		`[{"op":"copy","from":"/metadata","path":"/spec/template/metadata"}]`, `[{"op":"move","from":"/metadata/annotations","path":"/metadata/labels"}]`,
		`[{"op":"add","path":"/spec/template/spec/containers/-1","value":{}}]`, `[{"op":"add","path":"/spec/template/spec/containers/99999999999999999999","value":{}}]`,
		`[{"op":"remove","path":"/metadata/labels/~2"}]`, `[{"op":"add","path":"/metadata/labels/~0~1","value":"x"}]`, `[{"op":"add","path":"metadata","value":"x"}]`,
		`[{"op":"remove","path":"/metadata/managedFields"}]`, `[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]`,
		`[{"op":"replace","path":"/metadata/managedFields/0/manager","value":"forged"}]`, `[{"op":"replace","path":"/metadata/managedFields/0/fieldsV1","value":{"f:nowhere":{"k:":{}}}}]`,
		`[{"op":"test","path":"/metadata/resourceVersion","value":"` + latestPlaceholder + `"},{"op":"replace","path":"/spec/parallelism","value":5}]`,
		`[{"op":"replace","path":"/metadata/resourceVersion","value":""},{"op":"replace","path":"/spec/parallelism","value":5}]`,
		`[{"op":"add","path":"/metadata/labels/a","value":"x"},{"op":"remove","path":"/metadata/labels/a"}]`,
		`[{"op":"add","path":"/metadata/annotations/a","value":"x"},{"op":"remove","path":"/metadata/annotations/a"}]`,
		`[{"op":"replace","path":"/spec/parallelism","value":1e3}]`, `[{"op":"replace","path":"/spec/parallelism","value":1.5}]`, `[{"op":"replace","path":"/spec/parallelism","value":99999999999}]`,
	},
	"merge patch": append(hostileObjects, `[]`, `"x"`, `1`),
	"strategic merge patch": append(hostileObjects,
		`{"$patch":"delete"}`, `{"$patch":"replace"}`, `{"metadata":{"$patch":"delete"}}`, `{"spec":{"$patch":"replace","parallelism":2}}`, `{"spec":{"$retainKeys":["parallelism"],"parallelism":2}}`,
		`{"metadata":{"labels":{"$patch":"replace","a":"b"}}}`, `{"metadata":{"annotations":{"$patch":"delete"}}}`, `{"spec":{"selector":{"$patch":"delete"}}}`,
		`{"metadata":{"$deleteFromPrimitiveList/finalizers":["example.com/hold"]}}`, `{"metadata":{"$setElementOrder/finalizers":["b","a"],"finalizers":["b"]}}`,
		`{"metadata":{"$deleteFromPrimitiveList/finalizers":7}}`, `{"metadata":{"$setElementOrder/finalizers":"x"}}`, `{"metadata":{"$setElementOrder/nowhere":[{}]}}`,
		`{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"side"},{"name":"main"}]}}}}`, `{"spec":{"template":{"spec":{"containers":[{"$patch":"delete","name":"side"}]}}}}`,
		`{"spec":{"template":{"spec":{"containers":[{"$patch":"replace"}]}}}}`, `{"spec":{"template":{"spec":{"containers":[{"image":"x"}]}}}}`, `{"spec":{"template":{"spec":{"containers":[null]}}}}`,
		`{"spec":{"template":{"spec":{"containers":[{"name":7}]}}}}`, `{"spec":{"template":{"spec":{"volumes":[{"name":"data","$retainKeys":["name"]}]}}}}`, `{"spec":{"template":{"spec":{"containers":{"name":"main"}}}}}`,
		`{"metadata":{"ownerReferences":[{"$patch":"delete","uid":"5f0e1b52-0000-4000-8000-000000000001"}]}}`, `{"$patch":7}`, `{"$patch":"explode"}`, `{"spec":{"$retainKeys":7}}`),
	"apply": {
		`{}`, `null`, `[]`, `{"apiVersion":"batch/v1"}`, `{"kind":"Job"}`, `{"apiVersion":"batch/v1","kind":"Job"}`, `{"apiVersion":"batch/v1","kind":"CronJob"}`, `{"apiVersion":"batch/v2","kind":"Job"}`,
		`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"other"}}`, `{"apiVersion":"batch/v1","kind":"Job","metadata":{"managedFields":[{}]}}`, `{"apiVersion":"batch/v1","kind":"Job","spec":{"nowhere":1}}`,
		`{"apiVersion":"batch/v1","kind":"Job","spec":{"template":{"spec":{"containers":[{"name":"a"},{"name":"a"}]}}}}`, `{"apiVersion":"batch/v1","kind":"Job","spec":{"template":{"spec":{"containers":[{}]}}}}`,
		`{"apiVersion":"batch/v1","kind":"Job","metadata":{"resourceVersion":"` + latestPlaceholder + `"},"spec":{"parallelism":2}}`, `{"apiVersion":"batch/v1","kind":"Job","spec":null}`, `{"apiVersion":"batch/v1","kind":"Job","spec":7}`,
		"apiVersion: batch/v1\nkind: Job\nmetadata: &a\n  labels: {b: c}\nspec:\n  template:\n    metadata: *a\n", "apiVersion: batch/v1\nkind: Job\n---\nkind: Job\n", "a: &a [*a]\n", "apiVersion: !!binary YmF0Y2gvdjE=\nkind: Job\n",
	},
	"PUT": append(hostileObjects, `{"apiVersion":"batch/v1","kind":"Job"}`, `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"plain"},"spec":{}}`, `{"apiVersion":"v1","kind":"List","items":[]}`, `{"apiVersion":"v1","kind":"Status"}`),
}

var hostileObjects = []string{
	``, `{`, `{}`, `null`, "\x00", "\xff\xfe{}", "\xef\xbb\xbf{}", `{"metadata":null}`, `{"spec":null}`, `{"status":null}`, `{"metadata":{"labels":null}}`, `{"spec":{"selector":null}}`, `{"metadata":[]}`,
	`{"apiVersion":"batch/v1beta1"}`, `{"kind":"Pod"}`, `{"apiVersion":"v1","kind":"DeleteOptions"}`, `{"metadata":{"name":""}}`, `{"metadata":{"uid":""}}`, `{"metadata":{"namespace":"default"}}`,
	`{"metadata":{"resourceVersion":"` + latestPlaceholder + `"},"spec":{"parallelism":3}}`, `{"metadata":{"resourceVersion":"0"},"spec":{"parallelism":3}}`, `{"metadata":{"resourceVersion":"-1"},"spec":{"parallelism":3}}`,
	`{"metadata":{"resourceVersion":"18446744073709551616"}}`, `{"metadata":{"resourceVersion":" 1"}}`, `{"metadata":{"resourceVersion":7}}`,
	`{"spec":{"parallelism":2,"parallelism":3}}`, `{"spec":{"suspend":true},"spec":{"parallelism":3}}`, `{"Spec":{"Suspend":true}}`, `{"SPEC":{"parallelism":3}}`, `{"spec":{"parallelism":3,"Parallelism":4}}`,
	`{"metadata":{"managedFields":[]}}`, `{"metadata":{"managedFields":[{}]}}`, `{"metadata":{"managedFields":[{"manager":"forged","operation":"Apply","apiVersion":"batch/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:suspend":{}}}}]}}`,
	`{"metadata":{"managedFields":[{"fieldsType":"FieldsV2"}]}}`, `{"metadata":{"managedFields":[{"operation":"Update","fieldsType":"FieldsV1","fieldsV1":{"x":1}}]}}`,
	`{"metadata":{"labels":{"a":"\u0000"}}}`, "{\"metadata\":{\"labels\":{\"a\":\"\xff\"}}}", `{"metadata":{"labels":{"\ud800":"x"}}}`, `{"metadata":{"labels":{"":""}}}`, `{"metadata":{"labels":{"a":7}}}`,
	`{"spec":{"completions":-1}}`, `{"spec":{"completions":2147483648}}`, `{"spec":{"parallelism":1e400}}`, `{"spec":{"parallelism":"3"}}`, `{"spec":{"selector":{"matchLabels":{}}}}`,
}
