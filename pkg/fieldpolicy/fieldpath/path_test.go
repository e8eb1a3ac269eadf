// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import "testing"

func TestPath_String(t *testing.T) {
	containers := Path{}.Field("spec").Field("containers")
	for want, path := range map[string]Path{
		"spec.containers":                                  containers,
		`spec.containers[name="main"].image`:               containers.Element([]string{"name"}, []any{"main"}).Field("image"),
		`spec.containers[containerPort=80,protocol="TCP"]`: containers.Element([]string{"containerPort", "protocol"}, []any{80, "TCP"}),
		`spec.containers["a\"].b"]`:                        containers.Key(`a"].b`),
	} {
		if path.String() != want {
			t.Errorf("got %s, want %s", path, want)
		}
		parsed, err := Parse(want)
		if err != nil || parsed.String() != want {
			t.Errorf("Parse(%s) = %s, %v", want, parsed, err)
		}
	}
}

// Paths of siblings must not share memory.
func TestPath_Siblings(t *testing.T) {
	parent := Path{}.Field("spec").Field("template").Field("spec")
	first := parent.Field("a")
	second := parent.Field("b")
	if first.String() != "spec.template.spec.a" || second.String() != "spec.template.spec.b" {
		t.Errorf("got %s and %s", first, second)
	}
}

func TestPath_IsServerOwned(t *testing.T) {
	for text, want := range map[string]bool{
		"metadata.name":                            true,
		`metadata.managedFields`:                   true,
		"metadata.deletionTimestamp.x":             true,
		"metadata":                                 false,
		"metadata.namespaceSelector":               false,
		"metadata.labels":                          false,
		`metadata.labels["name"]`:                  false,
		"spec.template.metadata.name":              false,
		"spec.template.metadata.creationTimestamp": false,
		"spec.name":                                false,
	} {
		path, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := path.IsServerOwned(); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
}

func TestPath_Name(t *testing.T) {
	for text, want := range map[string]string{
		"spec":                        "spec",
		"spec.backoffLimit":           "spec.backoffLimit",
		`metadata.annotations["a.b"]`: "metadata.annotations",
		`metadata.ownerReferences[uid="1"].controller`:            "metadata.ownerReferences",
		"spec.podFailurePolicy.rules":                             "spec.podFailurePolicy",
		"spec.template":                                           "spec.template",
		`spec.template.metadata.labels["a"]`:                      "spec.template.metadata.labels",
		`spec.template.spec.containers[name="main"].image`:        "spec.template.spec.containers",
		`spec.template.spec.securityContext.seLinuxOptions.level`: "spec.template.spec.securityContext",
	} {
		path, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := path.Name(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
