// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	_ "github.com/batchgate/batchgate/pkg/apis/policy/install"
)

func stored() *policy.JobUpdatePolicy {
	return &policy.JobUpdatePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "p", ResourceVersion: "1", Generation: 3},
		Spec: policy.JobUpdatePolicySpec{
			NamespaceSelector: &metav1.LabelSelector{}, JobSelector: &metav1.LabelSelector{}, Fields: []string{"spec.suspend"}, Action: policy.Allow,
		},
		Status: policy.JobUpdatePolicyStatus{ObservedGeneration: 3},
	}
}

// clusterScope is the context of a request for a cluster-scoped resource.
var clusterScope = genericapirequest.WithNamespace(genericapirequest.NewContext(), metav1.NamespaceNone)

type change = func(*policy.JobUpdatePolicy)

func TestStrategies_PrepareForUpdate(t *testing.T) {
	spec := func(p *policy.JobUpdatePolicy) { p.Spec.Fields = []string{"spec.backoffLimit"} }
	status := func(p *policy.JobUpdatePolicy) { p.Status.ObservedGeneration = 9 }
	labels := func(p *policy.JobUpdatePolicy) { p.Labels = map[string]string{"a": "b"} }
	generation := func(p *policy.JobUpdatePolicy) { p.Generation = 7 }
	for name, tc := range map[string]struct {
		strategy   rest.RESTUpdateStrategy
		send, keep []change
		generation int64
	}{
		"spec":      {Strategy, []change{spec, status, generation}, []change{spec}, 4},
		"labels":    {Strategy, []change{labels, status}, []change{labels}, 3},
		"status":    {StatusStrategy, []change{spec, status, labels}, []change{status}, 3},
		"no change": {Strategy, nil, nil, 3},
	} {
		t.Run(name, func(t *testing.T) {
			sent, want := stored(), stored()
			for _, c := range tc.send {
				c(sent)
			}
			for _, c := range tc.keep {
				c(want)
			}
			want.Generation = tc.generation
			if err := rest.BeforeUpdate(tc.strategy, clusterScope, sent, stored()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, sent); diff != "" {
				t.Errorf("policy to store (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStrategy_PrepareForCreate(t *testing.T) {
	p := stored()
	p.ResourceVersion = ""
	rest.FillObjectMetaSystemFields(p)
	if err := rest.BeforeCreate(Strategy, clusterScope, p); err != nil {
		t.Fatal(err)
	}
	if p.Generation != 1 || p.Status.ObservedGeneration != 0 {
		t.Errorf("generation %d, status %+v", p.Generation, p.Status)
	}
}

func TestStrategy_WarnsAboutBroadPolicies(t *testing.T) {
	for name, tc := range map[string]struct {
		change change
		warned bool
	}{
		"all fields":              {func(p *policy.JobUpdatePolicy) { p.Spec.Fields = []string{"*"} }, true},
		"spec":                    {func(p *policy.JobUpdatePolicy) { p.Spec.Fields = []string{"spec.suspend", "spec"} }, true},
		"one field":               {func(*policy.JobUpdatePolicy) {}, false},
		"all fields for one user": {func(p *policy.JobUpdatePolicy) { p.Spec.Fields = []string{"*"}; p.Spec.Subjects = []rbacv1.Subject{{}} }, false},
		"all fields under Warn":   {func(p *policy.JobUpdatePolicy) { p.Spec.Fields = []string{"*"}; p.Spec.Action = policy.Warn }, false},
	} {
		p := stored()
		tc.change(p)
		for _, warnings := range [][]string{
			Strategy.WarningsOnCreate(clusterScope, p), Strategy.WarningsOnUpdate(clusterScope, p, stored()),
		} {
			if got := len(warnings) > 0; got != tc.warned {
				t.Errorf("%s: warnings %q", name, warnings)
			}
		}
		if warnings := StatusStrategy.WarningsOnUpdate(clusterScope, p, stored()); len(warnings) > 0 {
			t.Errorf("%s: warnings of the status strategy: %q", name, warnings)
		}
	}
}

func TestStrategy_WarnsAboutWidenedPolicies(t *testing.T) {
	subjects := func(p *policy.JobUpdatePolicy) { p.Spec.Subjects = []rbacv1.Subject{{Kind: "User", Name: "u"}} }
	fields := func(p *policy.JobUpdatePolicy) { p.Spec.Fields = []string{"spec.backoffLimit"} }
	name := func(p *policy.JobUpdatePolicy) { p.Name = "default" }
	autoUpdateOff := func(p *policy.JobUpdatePolicy) {
		p.Annotations = map[string]string{policy.AutoUpdateAnnotation: "false"}
	}
	label := func(p *policy.JobUpdatePolicy) { p.Labels = map[string]string{"a": "b"} }
	for row, tc := range map[string]struct {
		old, new []change
		warnings int
	}{
		"last subject removed":                  {[]change{subjects}, nil, 1},
		"subject added":                         {nil, []change{subjects}, 0},
		"bootstrap policy changed":              {[]change{name}, []change{name, fields}, 1},
		"bootstrap policy with auto-update off": {[]change{name}, []change{name, fields, autoUpdateOff}, 0},
		"bootstrap policy labeled":              {[]change{name}, []change{name, label}, 0},
		"other policy changed":                  {nil, []change{fields}, 0},
		"bootstrap policy loses subject":        {[]change{name, subjects}, []change{name}, 2},
	} {
		old, new := stored(), stored()
		for _, c := range tc.old {
			c(old)
		}
		for _, c := range tc.new {
			c(new)
		}
		if got := Strategy.WarningsOnUpdate(clusterScope, new, old); len(got) != tc.warnings {
			t.Errorf("%s: warnings %q, want %d", row, got, tc.warnings)
		}
	}
}
