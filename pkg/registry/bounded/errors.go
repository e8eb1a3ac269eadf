// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bounded limits the validation errors of a request. One request can contain 100,000
// invalid values. Upstream compares each error with all others, which takes minutes, and lists
// all of them in the response and in the audit event.
package bounded

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// MaxErrors is the maximum number of errors of a request. Upstream has no limit. A Job in which
	// every field is invalid has about 230 errors.
	MaxErrors = 250
	// MaxText is the maximum length in bytes of a path, a value or a name in a message.
	MaxText = 256
	// maxDetail is the maximum length in bytes of the explanation of an error.
	maxDetail = 2048
	// maxTotal is the maximum length in bytes of all errors. A response has each error twice, and JSON
	// may escape one byte as six. So the response stays under 1 MiB.
	maxTotal = 80 << 10
)

// Errors returns the first MaxErrors errors, with long paths, values and details cut. The last
// error counts those that are left out. It does not modify its argument.
func Errors(errs field.ErrorList) field.ErrorList { return limit(errs, 0) }

// limit is Errors for a list from which leftOut errors were already removed. The last error counts
// these too.
func limit(errs field.ErrorList, leftOut int) field.ErrorList {
	var bounded field.ErrorList
	total := 0
	for _, err := range errs[:min(len(errs), MaxErrors)] {
		cut := cutError(err)
		if total += len(cut.Error()); total > maxTotal && len(bounded) > 0 {
			break
		}
		bounded = append(bounded, cut)
	}
	more := len(errs) - len(bounded) + leftOut
	if more > 0 && len(bounded) > 0 {
		last := *bounded[len(bounded)-1]
		last.Detail = strings.TrimPrefix(fmt.Sprintf("%s; %d more errors are not listed", last.Detail, more), "; ")
		bounded[len(bounded)-1] = &last
	}
	return bounded
}

func cutError(err *field.Error) *field.Error {
	cut := *err
	cut.Field = Text(cut.Field)
	cut.Detail = cutText(cut.Detail, maxDetail)
	switch value := cut.BadValue.(type) {
	case string:
		cut.BadValue = Text(value)
	case field.OmitValueType, bool, int32, int64, float32, float64:
	default:
		// The value may be large, for example a map of all labels.
		valueOnly := field.Error{Type: field.ErrorTypeInvalid, BadValue: value}
		if len(valueOnly.ErrorBody()) > 2*MaxText {
			cut.BadValue = field.OmitValueType{}
		}
	}
	return &cut
}

// Text returns a text that is at most MaxText bytes long, plus an ellipsis if it was cut.
func Text(s string) string { return cutText(s, MaxText) }

func cutText(s string, length int) string {
	if len(s) <= length {
		return s
	}
	for length > 0 && !utf8.RuneStart(s[length]) {
		length--
	}
	return s[:length] + "..."
}
