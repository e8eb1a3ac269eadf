// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/operation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
)

func invalid(n int) field.ErrorList {
	var errs field.ErrorList
	for i := range n {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "labels"), fmt.Sprint(i), "must be valid"))
	}
	return errs
}

func TestErrors(t *testing.T) {
	for _, n := range []int{0, 1, MaxErrors, MaxErrors + 1, 100_000} {
		got := Errors(invalid(n))
		if want := min(n, MaxErrors); len(got) != want {
			t.Errorf("%d errors: got %d, want %d", n, len(got), want)
		}
		counted := n > MaxErrors && strings.HasSuffix(got[len(got)-1].Error(), fmt.Sprintf("must be valid; %d more errors are not listed", n-MaxErrors))
		if counted != (n > MaxErrors) {
			t.Errorf("%d errors: the last one is %v", n, got[len(got)-1])
		}
	}
}

func TestErrors_CutsLongTexts(t *testing.T) {
	long := strings.Repeat("ä<", 1_000_000)
	labels := map[string]string{"k": long}
	err := &field.Error{Type: field.ErrorTypeInvalid, Field: long, BadValue: long, Detail: long}
	for name, value := range map[string]any{"string": long, "map": labels, "pointer": &labels} {
		err.BadValue = value
		got := Errors(field.ErrorList{err})[0].Error()
		if len(got) > 4096 || !utf8.ValidString(got) {
			t.Errorf("%s: got an error of %d bytes, valid UTF-8: %t", name, len(got), utf8.ValidString(got))
		}
	}
	if err.Field != long {
		t.Error("the argument was modified")
	}
}

func TestErrors_LimitsTotal(t *testing.T) {
	var errs field.ErrorList
	for range MaxErrors {
		errs = append(errs, field.Invalid(field.NewPath("spec"), strings.Repeat("<", MaxText), strings.Repeat("x", maxDetail)))
	}
	total := 0
	got := Errors(errs)
	for _, err := range got {
		total += len(err.Error())
	}
	if total > maxTotal+100 || !strings.HasSuffix(got[len(got)-1].Error(), fmt.Sprintf("; %d more errors are not listed", MaxErrors-len(got))) {
		t.Errorf("got %d errors of %d bytes, want at most %d bytes", len(got), total, maxTotal)
	}
}

func TestErrors_KeepsOrdinaryErrors(t *testing.T) {
	ordinary := field.ErrorList{
		field.Invalid(field.NewPath("spec", "template", "labels"), map[string]string{"a": "b"}, "must match"),
		field.Required(field.NewPath("spec"), ""),
		field.NotSupported(field.NewPath("spec"), "x", []string{"a", "b"}),
		field.Forbidden(field.NewPath("spec"), "may not be updated"),
	}
	for _, err := range ordinary {
		if got := Errors(field.ErrorList{err})[0].Error(); got != err.Error() {
			t.Errorf("got %s, want %s", got, err)
		}
	}
}

// counting is a declarative strategy that counts the errors that it receives and adds others.
type counting struct{ received, adds int }

func (c *counting) ValidateDeclaratively(_ context.Context, _, _ runtime.Object, errs field.ErrorList, _ operation.Type, _ rest.DeclarativeValidationConfig) field.ErrorList {
	c.received = len(errs)
	return append(errs, invalid(c.adds)...)
}

func (*counting) DeclarativeValidationConfig(context.Context, runtime.Object, runtime.Object) rest.DeclarativeValidationConfig {
	return rest.DeclarativeValidationConfig{}
}

func TestValidateDeclaratively(t *testing.T) {
	c := &counting{adds: 7}
	got := ValidateDeclaratively(t.Context(), c, nil, nil, invalid(100_000), operation.Update, rest.DeclarativeValidationConfig{})
	if c.received != MaxErrors || len(got) != MaxErrors {
		t.Errorf("the strategy received %d errors, the result has %d, want %d of each", c.received, len(got), MaxErrors)
	}
	if last := got[len(got)-1].Error(); !strings.HasSuffix(last, "99757 more errors are not listed") {
		t.Errorf("the last error is %s", last)
	}
	if got := ValidateDeclaratively(t.Context(), nil, nil, nil, invalid(1000), operation.Update, rest.DeclarativeValidationConfig{}); len(got) != MaxErrors {
		t.Errorf("without a strategy: got %d errors, want %d", len(got), MaxErrors)
	}
}
