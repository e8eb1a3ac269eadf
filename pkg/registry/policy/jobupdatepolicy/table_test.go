// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

func TestTableConvertor_Rows(t *testing.T) {
	ready := policy.JobUpdatePolicyStatus{ObservedGeneration: 3, Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue}}}
	for name, tc := range map[string]struct {
		change change
		want   []any
	}{
		"no subjects or selectors": {func(*policy.JobUpdatePolicy) {}, []any{"p", "<all>", "spec.suspend", "Allow", "Unknown", "<unknown>", "<all>", "<all>", "<all>", "spec.suspend"}},
		"subjects and selectors": {func(p *policy.JobUpdatePolicy) {
			p.CreationTimestamp = metav1.NewTime(time.Now().Add(-90 * time.Minute))
			p.Status = ready
			p.Spec.Action = policy.Warn
			p.Spec.Fields = []string{"a", "b", "c", "d", "e"}
			p.Spec.Subjects = []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "n", Name: "s"}, {Kind: "User", Name: "u"}, {Kind: "Group", Name: "g"}}
			p.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": "test"}}
			p.Spec.JobSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Exists"}}}
		}, []any{"p", "ServiceAccount:n/s,User:u + 1 more", "a,b,c,d + 1 more", "Warn", "True", "90m", "env=test", "x", "ServiceAccount:n/s,User:u,Group:g", "a,b,c,d,e"}},
		"outdated condition": {func(p *policy.JobUpdatePolicy) {
			p.Status = ready
			p.Generation = 4
		}, []any{"p", "<all>", "spec.suspend", "Allow", "Unknown", "<unknown>", "<all>", "<all>", "<all>", "spec.suspend"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := stored()
			tc.change(p)
			table, err := TableConvertor{}.ConvertToTable(t.Context(), p, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, table.Rows[0].Cells); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
			if len(table.ColumnDefinitions) != len(tc.want) {
				t.Errorf("%d columns for %d cells", len(table.ColumnDefinitions), len(tc.want))
			}
		})
	}
}

func TestTableConvertor_List(t *testing.T) {
	list := &policy.JobUpdatePolicyList{ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "c"}, Items: []policy.JobUpdatePolicy{*stored(), *stored()}}
	table, err := TableConvertor{}.ConvertToTable(t.Context(), list, &metav1.TableOptions{NoHeaders: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != 2 || table.ResourceVersion != "7" || table.Continue != "c" || len(table.ColumnDefinitions) != 0 {
		t.Errorf("table %+v", table)
	}
	if _, err := (TableConvertor{}).ConvertToTable(t.Context(), &metav1.Status{}, nil); err == nil {
		t.Error("no error for an object of another type")
	}
}
