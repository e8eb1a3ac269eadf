// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParsePattern(t *testing.T) {
	for text, canonical := range map[string]string{
		"*":            "",
		"metadata":     "",
		"spec":         "",
		"spec.suspend": "",
		"spec.template.spec.containers[*].resources":                                          "",
		`spec.template.spec.containers[name="main"].image`:                                    "",
		`spec.template.spec.containers[*].ports[containerPort=80,protocol="TCP"]`:             "",
		`spec.template.spec.containers[*].ports[containerPort=0080,protocol="TCP"]`:           `spec.template.spec.containers[*].ports[containerPort=80,protocol="TCP"]`,
		`spec.template.spec.containers[name="\x6dain"]`:                                       `spec.template.spec.containers[name="main"]`,
		`metadata.annotations["kueue.x-k8s.io/*"]`:                                            "",
		`metadata.annotations["a\"]b"]`:                                                       "",
		"metadata.annotations[*]":                                                             "",
		`metadata.finalizers["example.com/hold"]`:                                             "",
		`metadata.ownerReferences[uid="1"].controller`:                                        "",
		"spec.template.metadata.labels":                                                       "",
		"spec.template.spec.tolerations":                                                      "",
		"spec.template.spec.schedulingGates[*]":                                               "",
		"spec.template.spec.volumes[*].emptyDir.sizeLimit":                                    "",
		"spec.template.spec.volumes[*].configMap.name":                                        "",
		"spec.podFailurePolicy.rules":                                                         "",
		`spec.template.spec.containers[*].resources.requests["cpu"]`:                          "",
		`spec.template.spec.topologySpreadConstraints[*].maxSkew`:                             "",
		`spec.template.spec.topologySpreadConstraints[topologyKey="a",whenUnsatisfiable="b"]`: "",
	} {
		pattern, err := ParsePattern(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		want := canonical
		if want == "" {
			want = text
		}
		if pattern.String() != want {
			t.Errorf("ParsePattern(%s) = %s, want %s", text, pattern, want)
		}
	}
}

func TestParsePattern_Errors(t *testing.T) {
	for text, want := range map[string]string{
		"spec.paralelism":                                "a batch/v1 Job has no field spec.paralelism; the nearest is spec.parallelism",
		"spec.nodeSelector":                              "the nearest is spec.template.spec.nodeSelector",
		"template.spec.tolerations":                      "the nearest is spec.template.spec.tolerations",
		"spec.template.spec.containers.image":            "the nearest is spec.template.spec.containers[*].image",
		"annotations":                                    "the nearest is metadata.annotations",
		"metadata.anotations":                            "the nearest is metadata.annotations",
		"spec.template.spec.container[*].image":          "the nearest is spec.template.spec.containers[*].image",
		"spec[*]":                                        "a batch/v1 Job has no field spec[*]; the nearest is spec",
		"kind":                                           "a batch/v1 Job has no field kind; the nearest is",
		`spec.template.spec.containers["main"]`:          "the nearest is spec.template.spec.containers[*]",
		`spec.template.spec.containers[image="x"].image`: "the nearest is spec.template.spec.containers[*].image",
		`spec.template.spec.containers[name=1].image`:    "the nearest is spec.template.spec.containers[*].image",
		`spec.template.spec.containers[*].ports[containerPort=80]`:           "the nearest is spec.template.spec.containers[*].ports[*]",
		`metadata.annotations["a"].b`:                                        "a batch/v1 Job has no field metadata.annotations[\"a\"].b",
		`metadata.labels.app`:                                                "a batch/v1 Job has no field metadata.labels.app",
		"spec.template.spec.tolerations[*].key":                              "an update replaces the list as a whole; the nearest field is spec.template.spec.tolerations",
		"spec.podFailurePolicy.rules[*]":                                     "an update replaces the list as a whole; the nearest field is spec.podFailurePolicy.rules",
		"spec.template.spec.volumes[*].emptyDir.sizeLimit.d":                 "has no field",
		"spec.template.spec.containers[*].livenessProbe.httpGet.port.intVal": "has no field",
		"metadata.name":               "metadata.name cannot be granted: the server keeps or checks its value",
		"metadata.managedFields":      "cannot be granted",
		"metadata.creationTimestamp":  "cannot be granted",
		"status":                      "it is updated through the status subresource",
		"status.active":               "it is updated through the status subresource",
		`metadata.annotations["a*b"]`: "* stands for the rest of a key, and may only be its last character",
		`metadata.annotations["**"]`:  "* stands for the rest of a key, and may only be its last character",
		`spec.template.spec.containers[name="ma*"].image`: "use spec.template.spec.containers[*] for all elements",
		"":                                       "a path must not be empty; the nearest field is spec",
		"spec.template.spec.containers[0].image": "the nearest field is spec.template.spec.containers[*].image",
		"spec/suspend":                           "the nearest field is spec.suspend",
		".spec":                                  `expected the name of a field before ".spec"`,
		"spec.":                                  `expected the name of a field before ""`,
		"spec..suspend":                          `expected the name of a field before ".suspend"`,
		"spec suspend":                           `expected a dot or a bracket before " suspend"`,
		"[*]":                                    `expected the name of a field before "[*]"`,
		"**":                                     `expected the name of a field before "**"`,
		"spec.*":                                 `expected the name of a field before "*"`,
		"metadata.labels[":                       `expected [*], ["key"] or [name="value"] at "["`,
		"metadata.labels[a":                      `expected [*], ["key"] or [name="value"] at "[a"`,
		"metadata.labels[']":                     `expected [*], ["key"] or [name="value"] at "[']"`,
		`metadata.labels["a`:                     `expected [*], ["key"] or [name="value"] at "[\"a"`,
		`metadata.labels["a"`:                    `expected ] after "a"`,
		`spec.template.spec.containers[name=x]`:  "expected a quoted string or a number instead of x",
		`spec.template.spec.containers[name="x"`: `expected , or ] after name="x"`,
		`spec.template.spec.containers[name=1`:   "expected ] after 1",
	} {
		_, err := ParsePattern(text)
		if err == nil {
			t.Errorf("%q is valid", text)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

// Errors suggest these patterns, so they must be valid.
func TestAllPatterns_AreValid(t *testing.T) {
	patterns := AllPatterns()
	if len(patterns) < 500 {
		t.Errorf("a Job has only %d fields", len(patterns))
	}
	for _, text := range patterns {
		if len(text) >= maxSuggestionInput {
			t.Errorf("%s is too long to be suggested", text)
		}
		if pattern, err := ParsePattern(text); err != nil || pattern.String() != text {
			t.Errorf("ParsePattern(%s) = %s, %v", text, pattern, err)
		}
	}
}

func TestPattern_Matches(t *testing.T) {
	for name, tc := range map[string]struct {
		pattern, path string
		want          bool
	}{
		"everything":                     {"*", "spec.suspend", true},
		"same path":                      {"spec.suspend", "spec.suspend", true},
		"different path":                 {"spec.suspend", "spec.selector", false},
		"parent":                         {"spec.template.spec", "spec.template", false},
		"child":                          {"spec.template.spec", `spec.template.spec.containers[name="a"].image`, true},
		"longer name":                    {"spec.completions", "spec.completionsOfAnother", false},
		"any element":                    {"spec.template.spec.containers[*].image", `spec.template.spec.containers[name="a"].image`, true},
		"any element with two keys":      {"spec.template.spec.containers[*].ports[*]", `spec.template.spec.containers[name="a"].ports[containerPort=1,protocol="TCP"].name`, true},
		"different field of any element": {"spec.template.spec.containers[*].image", `spec.template.spec.containers[name="a"].command`, false},
		"order of elements":              {"spec.template.spec.containers[*]", "spec.template.spec.containers", false},
		"element of another list":        {"spec.template.spec.containers[*]", `spec.template.spec.initContainers[name="a"]`, false},
		"element by its key":             {`spec.template.spec.containers[name="a"].image`, `spec.template.spec.containers[name="a"].image`, true},
		"different element":              {`spec.template.spec.containers[name="a"].image`, `spec.template.spec.containers[name="ab"].image`, false},
		"key":                            {`metadata.annotations["a"]`, `metadata.annotations["a"]`, true},
		"different key":                  {`metadata.annotations["a"]`, `metadata.annotations["ab"]`, false},
		"prefix":                         {`metadata.annotations["a/*"]`, `metadata.annotations["a/b"]`, true},
		"key equal to the prefix":        {`metadata.annotations["a/*"]`, `metadata.annotations["a/"]`, true},
		"key without the prefix":         {`metadata.annotations["a/*"]`, `metadata.annotations["a"]`, false},
		"prefix with quotes":             {`metadata.annotations["a\"*"]`, `metadata.annotations["a\"b"]`, true},
		"prefix with half an escape":     {`metadata.annotations["a\\*"]`, `metadata.annotations["a\"b"]`, false},
		"empty prefix":                   {`metadata.annotations["*"]`, `metadata.annotations["a"]`, true},
		"any key":                        {`metadata.annotations[*]`, `metadata.annotations["a"]`, true},
		"member of a set":                {`metadata.finalizers["a"]`, `metadata.finalizers["a"]`, true},
		"order of a set":                 {`metadata.finalizers["a"]`, `metadata.finalizers`, false},
		"key with brackets":              {`metadata.annotations["a\"].b"]`, `metadata.annotations["a\"].b"]`, true},
		"prefix with brackets":           {`metadata.annotations["a\"]*"]`, `metadata.annotations["a\"].b"]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			pattern, err := ParsePattern(tc.pattern)
			if err != nil {
				t.Fatal(err)
			}
			path, err := Parse(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			if got := pattern.Matches(path); got != tc.want {
				t.Errorf("%s matches %s: %t, want %t", tc.pattern, tc.path, got, tc.want)
			}
			var x Index
			x.Add(pattern)
			if got := len(x.AppendMatches(nil, path)) > 0; got != tc.want {
				t.Errorf("an index of %s matches %s: %t, want %t", tc.pattern, tc.path, got, tc.want)
			}
		})
	}
}

// FuzzParsePattern checks that the text form of a pattern parses to the same pattern, belongs to
// metadata or spec, and matches itself as a path.
func TestPattern_Wider(t *testing.T) {
	for text, want := range map[string][]string{
		"spec.suspend":                           nil,
		`metadata.annotations["a"]`:              nil,
		`metadata.annotations["example.com/a"]`:  {`metadata.annotations["example.com/*"]`},
		`metadata.annotations["example.com/*"]`:  nil,
		`metadata.annotations["a[b=\"c/d\"]/e"]`: {`metadata.annotations["a[b=\"c/d\"]/*"]`},
		`spec.template.spec.containers[name="a]"].env[name="b"].value`: {
			`spec.template.spec.containers[*].env[name="b"].value`, `spec.template.spec.containers[name="a]"].env[*].value`,
		},
	} {
		pattern, err := ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, wider := range pattern.Wider() {
			got = append(got, wider.String())
			if parsed, err := ParsePattern(wider.String()); err != nil || !parsed.Matches(pattern.Path()) {
				t.Errorf("%s is not wider than %s: %v", wider, text, err)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, seed := range []string{
		"*", "spec.suspend", `metadata.annotations["a/*"]`, `spec.template.spec.containers[name="m\"ain"].image`,
		`spec.template.spec.containers[*].ports[containerPort=80,protocol="TCP"].name`, "spec.template.spec.tolerations[*]", "x[", `a["`, "spec..",
	} {
		f.Add(seed)
	}
	grantable := regexp.MustCompile(`^(\*|(metadata|spec)([.\[].*)?)$`)
	f.Fuzz(func(t *testing.T, text string) {
		pattern, err := ParsePattern(text)
		if err != nil {
			return
		}
		again, err := ParsePattern(pattern.String())
		if err != nil || again.String() != pattern.String() {
			t.Errorf("%q has the text %q, which parses as %q, error %v", text, pattern, again, err)
		}
		if !grantable.MatchString(pattern.String()) {
			t.Errorf("%q is not in metadata or spec", pattern)
		}
		path, err := Parse(pattern.String())
		if text != "*" && (err != nil || !pattern.Matches(path)) {
			t.Errorf("%q does not match itself: %v", pattern, err)
		}
	})
}
