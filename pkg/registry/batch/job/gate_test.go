// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

func policy(name string, action v1alpha1.Action, fields ...string) *v1alpha1.JobUpdatePolicy {
	p := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.Fields, p.Spec.Action = fields, action
	v1alpha1.SetDefaults_JobUpdatePolicySpec(&p.Spec)
	return p
}

func TestStrategy_Policies(t *testing.T) {
	inStudio := policy("studio", v1alpha1.Allow, "spec.suspend")
	inStudio.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "studio"}}
	elsewhere := policy("elsewhere", v1alpha1.Allow, "spec.suspend")
	elsewhere.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "lab"}}
	toTeam := policy("team", v1alpha1.Allow, "spec.suspend")
	toTeam.Spec.Subjects = []rbacv1.Subject{{Kind: rbacv1.GroupKind, Name: "team"}}
	suspend := func(j *batch.Job) { j.Spec.Suspend = ptr.To(true) }
	for name, tc := range map[string]struct {
		policy *v1alpha1.JobUpdatePolicy
		send   jobChange
		want   []string
	}{
		"namespace":                               {inStudio, suspend, nil},
		"different namespace":                     {elsewhere, suspend, []string{"FieldValueForbidden spec.suspend"}},
		"group of the user":                       {toTeam, suspend, nil},
		"granted and denied field":                {inStudio, both(suspend, image("x")), []string{`FieldValueForbidden spec.template.spec.containers[name="main"].image`}},
		"field that upstream rejects":             {policy("all", v1alpha1.Allow, "*"), image("x"), []string{"FieldValueInvalid spec.template"}},
		"field that upstream rejects, under Warn": {policy("all", v1alpha1.Warn, "*"), image("x"), []string{"FieldValueInvalid spec.template"}},
		"manualSelector":                          {policy("all", v1alpha1.Allow, "*"), func(j *batch.Job) { j.Spec.ManualSelector = ptr.To(true) }, []string{"FieldValueForbidden spec.manualSelector"}},
		"manualSelector under Warn":               {policy("all", v1alpha1.Warn, "*"), func(j *batch.Job) { j.Spec.ManualSelector = ptr.To(true) }, []string{"FieldValueForbidden spec.manualSelector"}},
		"annotation by prefix":                    {policy("a", v1alpha1.Allow, `metadata.annotations["example.com/*"]`), func(j *batch.Job) { j.Annotations = map[string]string{"example.com/a": "b"} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			old := storedJob(t)
			got := update(t, NewStrategy(newGate(tc.policy)), "alice", old, tc.send)
			if diff := cmp.Diff(tc.want, causes(t, got.err)); diff != "" {
				t.Fatalf("causes (-want +got):\n%s\n%v", diff, got.err)
			}
			if got.err != nil {
				return
			}
			want := old.DeepCopy()
			tc.send(want)
			want.Generation = got.stored.Generation
			if diff := cmp.Diff(want, got.stored); diff != "" {
				t.Errorf("the Job to store (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGate_WithoutPolicies(t *testing.T) {
	closed := &Gate{Policies: &fieldpolicy.SnapshotStore{}, NamespaceLabels: namespaceLabels}
	if err := closed.CheckReady(); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("CheckReady returns %v, want ServiceUnavailable", err)
	}
	if err := bootstrapGate.CheckReady(); err != nil {
		t.Errorf("CheckReady returns %v with policies", err)
	}
	for name, send := range map[string]jobChange{"labels": func(j *batch.Job) { j.Labels["a"] = "b" }, "parallelism": parallelism(7)} {
		if got := update(t, NewStrategy(closed), garbageCollector, storedJob(t), send); got.err == nil {
			t.Errorf("an update of %s is allowed", name)
		}
	}
}

func TestStrategy_UnknownNamespace(t *testing.T) {
	p := policy("studio", v1alpha1.Allow, "spec.suspend")
	p.Spec.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: metav1.LabelSelectorOpDoesNotExist}}}
	g := newGate(p)
	g.NamespaceLabels = func(context.Context, string) labels.Set { return nil }
	got := update(t, NewStrategy(g), "alice", storedJob(t), func(j *batch.Job) { j.Spec.Suspend = ptr.To(true) })
	if got.err == nil {
		t.Error("the update is allowed")
	}
}

func TestStrategy_Publish(t *testing.T) {
	g := newGate(policy("warn-all", v1alpha1.Warn, "*"))
	suspend := func(j *batch.Job) { j.Spec.Suspend, j.Annotations = ptr.To(true), map[string]string{"a": "b"} }
	apply := func(j *batch.Job) {
		j.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}"}
	}
	for name, tc := range map[string]struct {
		gate     *Gate
		send     jobChange
		err      error
		warnings []string
		counted  map[string]float64
	}{
		"allowed": {gate: g, send: parallelism(3), counted: map[string]float64{"decision allow": 1}},
		"warned": {
			gate: g, send: suspend,
			warnings: []string{
				`metadata.annotations["a"]: changed; only granted with the action Warn, by JobUpdatePolicy warn-all`,
				`spec.suspend: changed; only granted with the action Warn, by JobUpdatePolicy warn-all`,
			},
			counted: map[string]float64{"decision warn": 1, "warn warn-all metadata.annotations": 1, "warn warn-all spec.suspend": 1},
		},
		"denied": {gate: bootstrapGate, send: suspend, counted: map[string]float64{"decision deny": 1, "deny  metadata.annotations": 1, "deny  spec.suspend": 1}},
		"last applied configuration denied": {
			gate: bootstrapGate, send: both(apply, parallelism(3)), warnings: []string{recreationWarning},
			counted: map[string]float64{"decision deny": 1, "deny  metadata.annotations": 1},
		},
		"last applied configuration and suspend denied": {
			gate: bootstrapGate, send: both(suspend, apply),
			counted: map[string]float64{"decision deny": 1, "deny  metadata.annotations": 1, "deny  spec.suspend": 1},
		},
		"conflict": {
			gate: g, send: suspend, err: apierrors.NewConflict(batch.Resource("jobs"), "render", nil), counted: map[string]float64{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			decisions.Reset()
			changes.Reset()
			var warnings recorder
			ctx := requestContext("alice", &warnings)
			strategy := NewStrategy(tc.gate)
			old := storedJob(t)
			for range 2 { // the store tries again after a conflict
				sent := old.DeepCopy()
				tc.send(sent)
				_ = rest.BeforeUpdate(strategy, ctx, sent, old.DeepCopy())
			}
			strategy.Publish(ctx, &metav1.UpdateOptions{}, tc.err)
			if diff := cmp.Diff(tc.warnings, warnings.texts); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.counted, counted(t)); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
		})
	}
}

// counted returns the counters of decisions, added up over subresources, and of changes. It
// leaves out those that are zero.
func counted(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			label := map[string]string{}
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			var name string
			switch family.GetName() {
			case "batchgate_job_update_decisions_total":
				name = "decision " + label["decision"]
			case "batchgate_job_update_changes_total":
				name = strings.Join([]string{label["decision"], label["policy"], label["field"]}, " ")
			default:
				continue
			}
			if value := m.GetCounter().GetValue(); value != 0 {
				values[name] += value
			}
		}
	}
	return values
}

func TestForgetPolicy(t *testing.T) {
	decisions.Reset()
	changes.Reset()
	for _, policy := range []string{"gone", "kept", ""} {
		countChange(fieldpolicy.Warn, policy, fieldpath.Path{})
	}
	ForgetPolicy("gone")
	ForgetPolicy("")
	if diff := cmp.Diff(map[string]float64{"warn kept ": 1, "warn  ": 1}, counted(t)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// The error says why the policies cannot be used.
func TestGate_CheckReadyReason(t *testing.T) {
	policies := &fieldpolicy.SnapshotStore{}
	gate := &Gate{Policies: policies}
	reason := errors.New("no key for policy x")
	policies.SetUnavailable(reason)
	for _, state := range []string{"not loaded", "outdated"} {
		if err := gate.CheckReady(); !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), reason.Error()) {
			t.Errorf("%s: CheckReady returns %v, want ServiceUnavailable with the reason", state, err)
		}
		policies.Set(&fieldpolicy.Snapshot{})
	}
	policies.SetUnavailable(nil)
	if err := gate.CheckReady(); err != nil {
		t.Errorf("CheckReady returns %v after recovery", err)
	}
}

func TestStrategy_LimitsWarnings(t *testing.T) {
	var warnings recorder
	ctx := requestContext("alice", &warnings)
	strategy := NewStrategy(newGate(policy("warn-all", v1alpha1.Warn, "*")))
	old := storedJob(t)
	sent := old.DeepCopy()
	sent.Annotations = map[string]string{}
	for _, c := range "abcdefghijklmno" {
		sent.Annotations[string(c)] = ""
	}
	if err := rest.BeforeUpdate(strategy, ctx, sent, old); err != nil {
		t.Fatal(err)
	}
	strategy.Publish(ctx, &metav1.UpdateOptions{}, nil)
	if n := len(warnings.texts); n != 11 || warnings.texts[10] != "5 more changed fields are only granted with the action Warn" {
		t.Errorf("%d warnings: %q", n, warnings.texts)
	}
}
