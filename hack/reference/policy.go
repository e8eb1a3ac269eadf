// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/generated/openapi"
	"github.com/batchgate/batchgate/pkg/registry/policy/jobupdatepolicy/storage"
)

// conventions describes the metadata that all objects have.
const conventions = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"

// external are types that this page does not repeat.
var external = map[reflect.Type]string{
	reflect.TypeFor[metav1.ObjectMeta](): "[ObjectMeta](" + conventions + ")",
	reflect.TypeFor[metav1.ListMeta]():   "[ListMeta](" + conventions + ")",
	reflect.TypeFor[metav1.Time]():       "string, a time in the form of RFC 3339",
}

// policyPage returns the page about the API of policies and reviews.
func policyPage() (string, error) {
	p := &apiPage{definitions: openapi.GetOpenAPIDefinitions(spec.MustCreateRef)}
	p.add(reflect.TypeFor[v1alpha1.JobUpdatePolicy]())
	p.add(reflect.TypeFor[v1alpha1.JobUpdatePolicyList]())
	p.add(reflect.TypeFor[v1alpha1.SelfJobUpdateReview]())
	p.add(reflect.TypeFor[v1alpha1.JobUpdateReview]())
	rest := &storage.REST{}
	return fmt.Sprintf(`# Policy API

This page lists all fields of the API group %s, with the descriptions that `+"`kubectl explain`"+` prints.
[Policy fields](policy-fields.md) explains paths, selectors, actions and the status of policies in detail.

| resource | short name, category | scope | for |
| --- | --- | --- | --- |
| %s, with the subresource %s | %s, %s | the cluster | granting changes |
| %s | | a namespace; can only be created | asking what you may change |
| %s | | a namespace; can only be created | asking what another user may change |
%s`, code(v1alpha1.GroupVersion.String()), code("jobupdatepolicies"), code("status"),
		code(strings.Join(rest.ShortNames(), ", ")), code(strings.Join(rest.Categories(), ", ")),
		code("selfjobupdatereviews"), code("jobupdatereviews"), p.text.String()), p.err
}

// apiPage collects the sections of types. Fields have the order of the Go types, because OpenAPI
// has none. Descriptions come from OpenAPI, as in kubectl explain.
type apiPage struct {
	definitions map[string]common.OpenAPIDefinition
	added       []reflect.Type
	text        strings.Builder
	err         error
}

// add adds the section of a struct and of the structs that it contains.
func (p *apiPage) add(t reflect.Type) {
	if slices.Contains(p.added, t) {
		return
	}
	p.added = append(p.added, t)
	model, ok := reflect.New(t).Elem().Interface().(interface{ OpenAPIModelName() string })
	if !ok {
		p.err = fmt.Errorf("%s has no OpenAPI definition", t)
		return
	}
	schema := p.definitions[model.OpenAPIModelName()].Schema
	fmt.Fprintf(&p.text, "\n## %s\n\n%s\n\n", t.Name(), wrap(escape(schema.Description)))
	var rows [][]string
	var contained []reflect.Type
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type == reflect.TypeFor[metav1.TypeMeta]() {
			rows = append(rows,
				[]string{code("apiVersion"), "string", "yes", code(v1alpha1.GroupVersion.String())},
				[]string{code("kind"), "string", "yes", code(t.Name())})
			continue
		}
		property, ok := schema.Properties[name]
		if !ok {
			p.err = fmt.Errorf("%s.%s is not in the OpenAPI definition", t, name)
			return
		}
		kind, element := typeOf(f.Type, property.Enum)
		if element != nil {
			contained = append(contained, element)
		}
		required := ""
		if slices.Contains(schema.Required, name) {
			required = "yes"
		}
		rows = append(rows, []string{code(name), kind, required, cell(property.Description)})
	}
	p.text.WriteString(table([]string{"field", "type", "required", "description"}, rows))
	for _, c := range contained {
		p.add(c)
	}
}

// typeOf returns how to print a type, and the struct that it contains, if the page describes it.
func typeOf(t reflect.Type, enum []any) (string, reflect.Type) {
	if name, ok := external[t]; ok {
		return name, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeOf(t.Elem(), enum)
	case reflect.Slice:
		name, contained := typeOf(t.Elem(), nil)
		return "list of " + name, contained
	case reflect.Map:
		name, contained := typeOf(t.Elem(), nil)
		return "map to " + name, contained
	case reflect.Struct:
		return fmt.Sprintf("[%s](#%s)", t.Name(), strings.ToLower(t.Name())), t
	case reflect.Int64:
		return "integer", nil
	}
	values := make([]string, len(enum))
	for i, value := range enum {
		values[i] = code(fmt.Sprint(value))
	}
	if len(values) > 0 {
		return strings.Join(values, " or "), nil
	}
	return t.Kind().String(), nil
}

// wrap breaks lines before they are longer than 120 characters.
func wrap(text string) string {
	var b strings.Builder
	length := 0
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString("\n\n")
			length = 0
		}
		for _, word := range strings.Fields(paragraph) {
			switch {
			case length == 0:
			case length+1+len(word) > 120:
				b.WriteString("\n")
				length = 0
			default:
				b.WriteString(" ")
				length++
			}
			b.WriteString(word)
			length += len(word)
		}
	}
	return b.String()
}
