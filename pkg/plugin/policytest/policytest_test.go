// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

const policyHead = "apiVersion: policy.batchgate.io/v1alpha1\nkind: JobUpdatePolicy\n"

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func TestLoad(t *testing.T) {
	const suspend = policyHead + "metadata: {name: a}\nspec: {fields: [spec.suspend]}\n"
	for name, tc := range map[string]struct {
		files map[string]string
		want  string // the error, or the names
	}{
		"documents, lists, other kinds": {map[string]string{
			"a.yaml":       "kind: Job\n---\n" + suspend,
			"sub/b.json":   `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"policy.batchgate.io/v1alpha1","kind":"JobUpdatePolicy","metadata":{"name":"b"},"spec":{"fields":["*"]}}]}`,
			"ignored.txt":  suspend,
			"comment.yaml": "# nothing\n",
			"patch.json":   `[{"op": "remove", "path": "/spec"}]`,
		}, "a b"},
		"no policy":       {map[string]string{"a.yaml": "kind: Job\n"}, "there is no JobUpdatePolicy in"},
		"same name twice": {map[string]string{"a.yaml": suspend, "b.yaml": suspend}, "has a JobUpdatePolicy a, too"},
		"unknown field":   {map[string]string{"a.yaml": suspend + "status: {novel: 1}\n"}, `unknown field "novel"`},
		"invalid field":   {map[string]string{"a.yaml": policyHead + "metadata: {name: a}\nspec: {fields: [spec.supend]}\n"}, "the nearest is spec.suspend"},
		"unknown version": {map[string]string{"a.yaml": strings.Replace(suspend, "v1alpha1", "v2", 1)}, "unknown apiVersion policy.batchgate.io/v2"},
		"not YAML":        {map[string]string{"a.yaml": "a: [\n"}, "a.yaml: "},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Load([]string{write(t, tc.files)}, nil)
			if err != nil {
				if !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got error %v, want %s", err, tc.want)
				}
				return
			}
			var names []string
			for _, policy := range p.policies {
				names = append(names, policy.Name)
			}
			if got := strings.Join(names, " "); got != tc.want {
				t.Errorf("got policies %q, want %q", got, tc.want)
			}
		})
	}
	// A mounted ConfigMap, by a link to its directory.
	mounted := write(t, map[string]string{"..2026_01_01/a.yaml": suspend})
	link := filepath.Join(t.TempDir(), "policies")
	for _, err := range []error{
		os.Symlink("..2026_01_01", filepath.Join(mounted, "..data")),
		os.Symlink("..data/a.yaml", filepath.Join(mounted, "a.yaml")),
		os.Symlink(mounted, link),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if p, err := Load([]string{link}, nil); err != nil || len(p.policies) != 1 {
		t.Errorf("a mounted ConfigMap: got %+v, %v", p, err)
	}
	if p, err := Load([]string{"-"}, strings.NewReader(suspend)); err != nil || p.Files["a"] != "standard input" {
		t.Errorf("standard input: got %+v, %v", p, err)
	}
}

const job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: pi}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: pi}]}}}\n"

func TestPolicies_Evaluate(t *testing.T) {
	const replaced = policyHead + "metadata: {name: default}\nspec: {fields: [spec.suspend]}\n"
	for name, tc := range map[string]struct {
		policies string
		update   Update
		want     Result
		err      string
	}{
		"bootstrap policy":          {"", Update{Patch: []byte("spec: {parallelism: 2}")}, Result{Decision: v1alpha1.ReviewAllow, Policies: []string{"default"}}, ""},
		"bootstrap policy replaced": {replaced, Update{Patch: []byte("spec: {parallelism: 2}")}, Result{Decision: v1alpha1.ReviewDeny, Denied: []string{"spec.parallelism"}}, ""},
		"default of Kubernetes":     {"", Update{Patch: []byte("spec: {backoffLimit: 6, template: {spec: {dnsPolicy: ClusterFirst}}}")}, Result{Decision: v1alpha1.ReviewAllow}, ""},
		"status ignored":            {"", Update{Patch: []byte("status: {active: 1}")}, Result{Decision: v1alpha1.ReviewAllow}, ""},
		"namespace by its name":     {policyHead + "metadata: {name: a}\nspec: {fields: [spec.suspend], namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}}\n", Update{Patch: []byte("spec: {suspend: true}")}, Result{Decision: v1alpha1.ReviewAllow, Policies: []string{"a"}}, ""},
		"group of service accounts": {policyHead + "metadata: {name: a}\nspec: {fields: [spec.suspend], subjects: [{kind: Group, name: 'system:serviceaccounts:ci'}]}\n", Update{User: "system:serviceaccount:ci:deployer", Patch: []byte("spec: {suspend: true}")}, Result{Decision: v1alpha1.ReviewAllow, Policies: []string{"a"}}, ""},
		"namespace of the flag":     {policyHead + "metadata: {name: a}\nspec: {fields: [spec.suspend], namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: dev}}}\n", Update{Namespace: "dev", Patch: []byte("spec: {suspend: true}")}, Result{Decision: v1alpha1.ReviewAllow, Policies: []string{"a"}}, ""},
		"other Job":                 {"", Update{New: []byte(strings.Replace(job, "name: pi", "name: e", 1))}, Result{}, "default/pi before and default/e after"},
		"not a Job":                 {"", Update{New: []byte("kind: Pod\n")}, Result{}, `new Job: must have apiVersion batch/v1 and kind Job, and has "" and "Pod"`},
		"unknown field":             {"", Update{Patch: []byte("spec: {supend: true}")}, Result{}, `unknown field "supend"`},
		"empty documents":           {"", Update{New: []byte("# rendered\n---\n" + job + "---\n")}, Result{Decision: v1alpha1.ReviewAllow}, ""},
		"two Jobs":                  {"", Update{New: []byte(job + "---\n" + job)}, Result{}, "new Job: has more than one document: keep one"},
		"two patches":               {"", Update{Patch: []byte("spec: {parallelism: 2}\n---\nspec: {suspend: true}\n")}, Result{}, "patch: has more than one document: keep one"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.policies == "" {
				tc.policies = policyHead + "metadata: {name: other}\nspec: {fields: [spec.activeDeadlineSeconds]}\n"
			}
			p, err := Load([]string{write(t, map[string]string{"a.yaml": tc.policies})}, nil)
			if err != nil {
				t.Fatal(err)
			}
			tc.update.Old = []byte(job)
			got, err := p.Evaluate(tc.update)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got error %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadTest_Invalid(t *testing.T) {
	const head = "apiVersion: policy.batchgate.io/v1alpha1\nkind: JobUpdatePolicyTest\n"
	for name, tc := range map[string]struct{ content, want string }{
		"other kind":       {"apiVersion: batch/v1\nkind: Job\n", `and has "batch/v1" and "Job"`},
		"no cases":         {head, "has no cases"},
		"no old Job":       {head + "cases: [{name: a, patch: {}, expect: {decision: Deny}}]", `case "a": old is required`},
		"new and patch":    {head + "cases: [{name: a, old: {}, new: {}, patch: {}, expect: {decision: Deny}}]", "either new or patch is required"},
		"unknown decision": {head + "cases: [{name: a, old: {}, patch: {}, expect: {decision: deny}}]", `expect.decision is "deny"`},
		"paths of Allow":   {head + "cases: [{name: a, old: {}, patch: {}, expect: {decision: Allow, paths: [spec]}}]", "expect.paths may not be set"},
		"missing file":     {head + "cases: [{name: a, old: none.yaml, patch: {}, expect: {decision: Deny}}]", "no such file"},
		"unknown field":    {head + "cases: [{name: a, novel: 1}]", `unknown field "novel"`},
		"two documents":    {head + "cases: []\n---\n" + head, "has more than one document: keep one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadTest(filepath.Join(write(t, map[string]string{"t.yaml": tc.content}), "t.yaml"))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %s", err, tc.want)
			}
		})
	}
}

func TestWriteJUnit(t *testing.T) {
	var got strings.Builder
	results := map[string][]CaseResult{"t.yaml": {{Name: "a"}, {Name: "b", Failure: `<"no">`}}}
	if err := WriteJUnit(&got, []string{"t.yaml"}, results); err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="t.yaml" tests="2" failures="1">
    <testcase classname="t.yaml" name="a"></testcase>
    <testcase classname="t.yaml" name="b">
      <failure message="&lt;&#34;no&#34;&gt;"></failure>
    </testcase>
  </testsuite>
</testsuites>
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}
