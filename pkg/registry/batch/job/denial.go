// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
)

const (
	// maxDeniedPaths bounds the number of paths in the error of a denied update, so that the
	// error stays readable if the update replaces a whole Pod template.
	maxDeniedPaths = 50

	// maxUpdatableFields bounds the number of updatable fields in an error. A decision has one more if
	// there are more.
	maxUpdatableFields = fieldpolicy.MaxUpdatableFields - 1

	lastApplied = `metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`
)

// forbidden returns an error for each of the first maxDeniedPaths paths. The last one also says which
// fields the user may update, and counts the remaining paths. It returns an internal error if there are no paths, because the caller
// must not let the update pass.
func forbidden(paths []fieldpath.Path, updatable []string, user string) field.ErrorList {
	if len(paths) == 0 {
		return field.ErrorList{field.InternalError(nil, fmt.Errorf("the update was denied without a denied path"))}
	}
	more := max(0, len(paths)-maxDeniedPaths)
	paths = paths[:len(paths)-more]
	errs := make(field.ErrorList, len(paths))
	for i, path := range paths {
		errs[i] = &field.Error{Type: field.ErrorTypeForbidden, Field: bounded.Text(path.String()), Detail: "may not be updated"}
		if i == len(paths)-1 {
			errs[i].Detail += explanation(updatable, user)
		}
		if errs[i].Field == lastApplied {
			errs[i].Detail += "; kubectl apply writes this annotation: use kubectl patch, or create and update the Job with kubectl apply --server-side"
		}
	}
	if more > 0 {
		errs[len(errs)-1].Detail += fmt.Sprintf("; %d more changed fields are not listed", more)
	}
	return errs
}

// tooManyChanges returns the error of an update with more changes than are evaluated. The only path is
// the field of the first change over the limit.
func tooManyChanges(paths []fieldpath.Path) *field.Error {
	err := &field.Error{Type: field.ErrorTypeForbidden, Detail: fmt.Sprintf("may not be updated; the update changes more than %d fields", fieldpolicy.MaxChanges)}
	if len(paths) > 0 {
		err.Field = paths[0].String()
	}
	return err
}

// explanation says why fields may not be updated and which ones may be.
func explanation(updatable []string, user string) string {
	var b strings.Builder
	if len(updatable) > 0 {
		b.WriteString("; updatable fields are " + joinBounded(updatable[:min(len(updatable), maxUpdatableFields)], ", "))
		if len(updatable) > maxUpdatableFields {
			b.WriteString(" and more")
		}
	}
	fmt.Fprintf(&b, "; no JobUpdatePolicy grants this change to %q (kubectl get jup)", bounded.Text(user))
	return b.String()
}

// joinBounded joins texts after it has cut long ones.
func joinBounded(texts []string, separator string) string {
	short := make([]string, len(texts))
	for i, text := range texts {
		short[i] = bounded.Text(text)
	}
	return strings.Join(short, separator)
}
