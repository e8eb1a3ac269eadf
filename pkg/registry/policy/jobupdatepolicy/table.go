// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"context"
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/clock"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// The number of entries that a cell shows before it only counts the rest.
const (
	maxShownSubjects = 2
	maxShownFields   = 4
)

// TableConvertor creates the tables that kubectl get prints.
type TableConvertor struct{}

var _ rest.TableConvertor = TableConvertor{}

var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the policy"},
	{Name: "Subjects", Type: "string", Description: "Users, groups and service accounts that the changes are granted to"},
	{Name: "Fields", Type: "string", Description: "Fields whose changes are granted"},
	{Name: "Action", Type: "string", Description: "What happens to a granted change"},
	{Name: "Ready", Type: "string", Description: "Whether all fields of the policy are active"},
	{Name: "Age", Type: "string", Description: "Time since the policy was created"},
	{Name: "Namespaces", Type: "string", Priority: 1, Description: "Namespaces in which the changes are granted"},
	{Name: "Jobs", Type: "string", Priority: 1, Description: "Jobs whose changes are granted"},
	{Name: "All Subjects", Type: "string", Priority: 1, Description: "All users, groups and service accounts that the changes are granted to"},
	{Name: "All Fields", Type: "string", Priority: 1, Description: "All fields whose changes are granted"},
}

// ConvertToTable implements rest.TableConvertor.
func (TableConvertor) ConvertToTable(_ context.Context, obj, tableOptions runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if options, ok := tableOptions.(*metav1.TableOptions); !ok || !options.NoHeaders {
		table.ColumnDefinitions = columns
	}
	switch t := obj.(type) {
	case *policy.JobUpdatePolicy:
		table.ResourceVersion = t.ResourceVersion
		table.Rows = []metav1.TableRow{row(t)}
	case *policy.JobUpdatePolicyList:
		table.ListMeta = t.ListMeta
		for i := range t.Items {
			table.Rows = append(table.Rows, row(&t.Items[i]))
		}
	default:
		return nil, fmt.Errorf("printing a %T as a table of JobUpdatePolicies", obj)
	}
	return table, nil
}

func row(p *policy.JobUpdatePolicy) metav1.TableRow {
	ready := metav1.ConditionUnknown
	if c := meta.FindStatusCondition(p.Status.Conditions, policy.ConditionReady); c != nil && p.Status.ObservedGeneration == p.Generation {
		ready = c.Status
	}
	age := "<unknown>"
	if !p.CreationTimestamp.IsZero() {
		age = duration.HumanDuration(clock.RealClock{}.Since(p.CreationTimestamp.Time))
	}
	subjects := make([]string, len(p.Spec.Subjects))
	for i, s := range p.Spec.Subjects {
		subjects[i] = s.Kind + ":" + s.Name
		if s.Kind == rbacv1.ServiceAccountKind {
			subjects[i] = s.Kind + ":" + s.Namespace + "/" + s.Name
		}
	}
	return metav1.TableRow{
		Object: runtime.RawExtension{Object: p},
		Cells: []any{
			p.Name, truncate(subjects, maxShownSubjects), truncate(p.Spec.Fields, maxShownFields), string(p.Spec.Action), string(ready), age,
			formatSelector(p.Spec.NamespaceSelector), formatSelector(p.Spec.JobSelector),
			truncate(subjects, len(subjects)), truncate(p.Spec.Fields, len(p.Spec.Fields)),
		},
	}
}

// truncate joins the first entries of a list and counts the rest.
func truncate(list []string, shown int) string {
	if len(list) == 0 {
		return "<all>"
	}
	text := strings.Join(list[:min(shown, len(list))], ",")
	if more := len(list) - shown; more > 0 {
		text += fmt.Sprintf(" + %d more", more)
	}
	return text
}

func formatSelector(selector *metav1.LabelSelector) string {
	if selector != nil && len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		return "<all>"
	}
	return metav1.FormatLabelSelector(selector)
}
