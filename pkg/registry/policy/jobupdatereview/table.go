// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatereview

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// TableConvertor creates the table of a review. It has a row for each field to check, or, if there are
// none, for each updatable field.
type TableConvertor struct{}

var _ rest.TableConvertor = TableConvertor{}

var columns = []metav1.TableColumnDefinition{
	{Name: "Field", Type: "string", Format: "name", Description: "Path pattern of the field"},
	{Name: "Decision", Type: "string", Description: "What happens to an update that changes the field"},
	{Name: "Policies", Type: "string", Description: "Policies that grant the field"},
	{Name: "Reason", Type: "string", Description: "Why an update of the field is denied"},
}

// ConvertToTable implements rest.TableConvertor.
func (TableConvertor) ConvertToTable(_ context.Context, obj, tableOptions runtime.Object) (*metav1.Table, error) {
	var status *policy.JobUpdateReviewStatus
	// The object of each row, which a client may ask for. The review itself in each of up to 1,000 rows
	// would make a huge response.
	var row runtime.Object
	switch review := obj.(type) {
	case *policy.SelfJobUpdateReview:
		status = &review.Status
		row = &policy.SelfJobUpdateReview{ObjectMeta: metav1.ObjectMeta{Namespace: review.Namespace}}
	case *policy.JobUpdateReview:
		status = &review.Status
		row = &policy.JobUpdateReview{ObjectMeta: metav1.ObjectMeta{Namespace: review.Namespace}}
	default:
		return nil, fmt.Errorf("printing a %T as a table of a review", obj)
	}
	table := &metav1.Table{}
	if options, ok := tableOptions.(*metav1.TableOptions); !ok || !options.NoHeaders {
		table.ColumnDefinitions = columns
	}
	add := func(field, decision string, policies []string, reason string) {
		table.Rows = append(table.Rows, metav1.TableRow{
			Object: runtime.RawExtension{Object: row},
			Cells:  []any{field, decision, strings.Join(policies, ","), reason},
		})
	}
	for _, f := range status.Fields {
		add(f.Field, string(f.Decision), f.Policies, f.Reason)
	}
	if len(status.Fields) == 0 {
		for _, f := range status.UpdatableFields {
			add(f.Field, string(f.Action), f.Policies, "")
		}
	}
	return table, nil
}
