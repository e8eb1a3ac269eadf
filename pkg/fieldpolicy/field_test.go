package fieldpolicy

import (
	"regexp"
	"strings"
	"testing"
)

func TestFieldsThatJobsHaveAreParsed(t *testing.T) {
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
		field, err := ParseField(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		want := canonical
		if want == "" {
			want = text
		}
		if field.String() != want {
			t.Errorf("%s is written as %s, want %s", text, field, want)
		}
	}
}

func TestFieldsThatJobsDoNotHaveAreRefusedWithTheNearest(t *testing.T) {
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
		`metadata.annotations["a*b"]`: "* stands for the rest of a key, and can only be its end",
		`metadata.annotations["**"]`:  "* stands for the rest of a key, and can only be its end",
		`spec.template.spec.containers[name="ma*"].image`: "spec.template.spec.containers[*] are all elements",
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
		_, err := ParseField(text)
		if err == nil {
			t.Errorf("%q is accepted", text)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is\n%v\nwant in it\n%s", text, err, want)
		}
	}
}

// What an error proposes must be right.
func TestEveryFieldNameCanBeGranted(t *testing.T) {
	names := fieldNames()
	if len(names) < 500 {
		t.Errorf("a Job has %d fields, which cannot be all", len(names))
	}
	for _, name := range names {
		if len(name) >= maxCompared {
			t.Errorf("%s is too long to be found as the nearest field", name)
		}
		if field, err := ParseField(name); err != nil || field.String() != name {
			t.Errorf("%s is parsed as %s, error %v", name, field, err)
		}
	}
}

func TestFieldCoversWhatIsBelowIt(t *testing.T) {
	for name, tc := range map[string]struct {
		field, path string
		want        bool
	}{
		"everything":                      {"*", "spec.suspend", true},
		"itself":                          {"spec.suspend", "spec.suspend", true},
		"another":                         {"spec.suspend", "spec.selector", false},
		"what is above":                   {"spec.template.spec", "spec.template", false},
		"what is below":                   {"spec.template.spec", `spec.template.spec.containers[name="a"].image`, true},
		"no longer name":                  {"spec.completions", "spec.completionsOfAnother", false},
		"any element":                     {"spec.template.spec.containers[*].image", `spec.template.spec.containers[name="a"].image`, true},
		"any element, two keys":           {"spec.template.spec.containers[*].ports[*]", `spec.template.spec.containers[name="a"].ports[containerPort=1,protocol="TCP"].name`, true},
		"any element, another field":      {"spec.template.spec.containers[*].image", `spec.template.spec.containers[name="a"].command`, false},
		"any element is not the order":    {"spec.template.spec.containers[*]", "spec.template.spec.containers", false},
		"any element of another list":     {"spec.template.spec.containers[*]", `spec.template.spec.initContainers[name="a"]`, false},
		"an element by its key":           {`spec.template.spec.containers[name="a"].image`, `spec.template.spec.containers[name="a"].image`, true},
		"another element":                 {`spec.template.spec.containers[name="a"].image`, `spec.template.spec.containers[name="ab"].image`, false},
		"a key":                           {`metadata.annotations["a"]`, `metadata.annotations["a"]`, true},
		"another key":                     {`metadata.annotations["a"]`, `metadata.annotations["ab"]`, false},
		"a prefix":                        {`metadata.annotations["a/*"]`, `metadata.annotations["a/b"]`, true},
		"a prefix alone":                  {`metadata.annotations["a/*"]`, `metadata.annotations["a/"]`, true},
		"no prefix":                       {`metadata.annotations["a/*"]`, `metadata.annotations["a"]`, false},
		"a prefix that has quotes":        {`metadata.annotations["a\"*"]`, `metadata.annotations["a\"b"]`, true},
		"a prefix that is half an escape": {`metadata.annotations["a\\*"]`, `metadata.annotations["a\"b"]`, false},
		"every prefix":                    {`metadata.annotations["*"]`, `metadata.annotations["a"]`, true},
		"every key":                       {`metadata.annotations[*]`, `metadata.annotations["a"]`, true},
		"a member of a set":               {`metadata.finalizers["a"]`, `metadata.finalizers["a"]`, true},
		"a member of a set is no order":   {`metadata.finalizers["a"]`, `metadata.finalizers`, false},
		"a key with what ends a bracket":  {`metadata.annotations["a\"].b"]`, `metadata.annotations["a\"].b"]`, true},
		"a prefix of what ends a bracket": {`metadata.annotations["a\"]*"]`, `metadata.annotations["a\"].b"]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			field, err := ParseField(tc.field)
			if err != nil {
				t.Fatal(err)
			}
			path, err := split(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			if got := field.covers(path); got != tc.want {
				t.Errorf("%s covers %s: %t, want %t", tc.field, tc.path, got, tc.want)
			}
		})
	}
}

// FuzzParseField checks that what is parsed is written as what parses to the same, and means
// a place in a Job.
func FuzzParseField(f *testing.F) {
	for _, seed := range []string{
		"*", "spec.suspend", `metadata.annotations["a/*"]`, `spec.template.spec.containers[name="m\"ain"].image`,
		`spec.template.spec.containers[*].ports[containerPort=80,protocol="TCP"].name`, "spec.template.spec.tolerations[*]", "x[", `a["`, "spec..",
	} {
		f.Add(seed)
	}
	plain := regexp.MustCompile(`^(\*|(metadata|spec)([.\[].*)?)$`)
	f.Fuzz(func(t *testing.T, text string) {
		field, err := ParseField(text)
		if err != nil {
			return
		}
		again, err := ParseField(field.String())
		if err != nil || again.String() != field.String() {
			t.Errorf("%q is written as %q, which is parsed as %q, error %v", text, field, again, err)
		}
		if !plain.MatchString(field.String()) {
			t.Errorf("%q is no path of metadata or spec", field)
		}
		steps, err := split(field.String())
		if text != "*" && (err != nil || !field.covers(steps)) {
			t.Errorf("%q does not cover itself: %v", field, err)
		}
	})
}
