// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// edit changes a freeze or a guard. It may be called while a request is served.
func (e *testEnv) edit(name string, change func(*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding)) {
	e.t.Helper()
	tracker := e.KubeAPIServer.Tracker()
	policies := admissionv1.SchemeGroupVersion.WithResource("validatingadmissionpolicies")
	bindings := admissionv1.SchemeGroupVersion.WithResource("validatingadmissionpolicybindings")
	p, err := tracker.Get(policies, "", name)
	if err != nil {
		e.t.Fatal(err)
	}
	binding, err := tracker.Get(bindings, "", name)
	if err != nil {
		e.t.Fatal(err)
	}
	before := binding
	p, binding = p.DeepCopyObject(), binding.DeepCopyObject()
	change(p.(*admissionv1.ValidatingAdmissionPolicy), binding.(*admissionv1.ValidatingAdmissionPolicyBinding))
	if !equality.Semantic.DeepEqual(before, binding) {
		binding.(*admissionv1.ValidatingAdmissionPolicyBinding).ResourceVersion = e.persist(name, binding)
	}
	if err := errors.Join(tracker.Update(policies, p, ""), tracker.Update(bindings, binding, "")); err != nil {
		e.t.Fatal(err)
	}
}

var edits = map[string]func(*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding){
	"only warns": func(_ *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding) {
		b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn}
	},
	"other policy": func(_ *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding) {
		b.Spec.PolicyName = "other"
	},
	"some namespaces": func(_ *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding) {
		b.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}
	},
	"one server": func(_ *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding) {
		b.Labels = map[string]string{policy.EnforcedByLabel: "other"}
	},
	"other expression": func(p *admissionv1.ValidatingAdmissionPolicy, _ *admissionv1.ValidatingAdmissionPolicyBinding) {
		p.Spec.Validations[0].Expression = "true"
	},
	"match condition": func(p *admissionv1.ValidatingAdmissionPolicy, _ *admissionv1.ValidatingAdmissionPolicyBinding) {
		p.Spec.MatchConditions = []admissionv1.MatchCondition{{Name: "a", Expression: "false"}}
	},
	"fewer operations": func(p *admissionv1.ValidatingAdmissionPolicy, _ *admissionv1.ValidatingAdmissionPolicyBinding) {
		p.Spec.MatchConstraints.ResourceRules[0].Operations = []admissionv1.OperationType{admissionv1.Create}
	},
	"failures ignored": func(p *admissionv1.ValidatingAdmissionPolicy, _ *admissionv1.ValidatingAdmissionPolicyBinding) {
		p.Spec.FailurePolicy = ptr.To(admissionv1.Ignore)
	},
	"changed and restored": func(p *admissionv1.ValidatingAdmissionPolicy, _ *admissionv1.ValidatingAdmissionPolicyBinding) {
		p.Generation += 2
	},
	"binding changed and restored": func(_ *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding) {
		b.ResourceVersion += "0"
	},
}

func TestFreezer_VerifyHeld(t *testing.T) {
	for name, change := range edits {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			f := &freezer{cluster: e.Cluster.Cluster}
			if err := f.create(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := f.verifyHeld(t.Context()); err != nil {
				t.Fatalf("unchanged: %v", err)
			}
			e.edit(policy.FreezeName, change)
			if _, err := f.verifyHeld(t.Context()); !errors.Is(err, errNotHeld) || !strings.Contains(err.Error(), "the freeze was changed") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// An edited policy that an earlier operation has left does not count as a freeze.
func TestFreezer_EditedPolicyLeft(t *testing.T) {
	e := newTestEnv(t)
	e.freezeByHand()
	e.edit(policy.FreezeName, edits["other expression"])
	e.lift(policy.FreezeName)
	err := e.runImport()
	if !errors.Is(err, steps.ErrRolledBack) || !strings.Contains(err.Error(), "run: kubectl delete validatingadmissionpolicy batchgate-freeze") {
		t.Errorf("the error is %v", err)
	}
}

// The freeze is edited after the switch, and a client writes to the dedicated etcd. Undoing the
// import would lose that write.
func TestImport_FreezeLostAfterSwitch(t *testing.T) {
	for name, lose := range map[string]func(*testEnv){
		"lifted": func(e *testEnv) { e.lift(policy.FreezeName) },
		"edited": func(e *testEnv) { e.edit(policy.FreezeName, edits["only warns"]) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			done := false
			e.After = func(request string) error {
				if request == "kube-apiserver patch apiservices v1.batch" && !done {
					done = true
					lose(e)
					job := newJob("acknowledged")
					e.want["jobs/default/acknowledged"] = string(job.UID)
					return (etcdStorage{e.etcds.dedicated}).Put("jobs", job)
				}
				return nil
			}
			err := e.runImport()
			if isOneOf(err, steps.ErrNothingChanged, steps.ErrRolledBack) || err == nil || !strings.Contains(err.Error(), "run: kubectl batchgate import --etcd-servers=<etcd of Batchgate> --resume") {
				t.Fatalf("the error is %v", err)
			}
			i := e.newImport()
			i.Resume = true
			if err := i.Run(t.Context()); err != nil {
				t.Errorf("resumed: %v", err)
			}
			e.checkDedicated()
		})
	}
}

// While an import fails, another client points v1.batch somewhere else.
func TestImport_UndoKeepsOtherChange(t *testing.T) {
	e := newTestEnv(t)
	e.After = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" {
			e.After = nil
			a := e.APIService().DeepCopy()
			a.Spec.Service.Name = "other"
			if err := e.Aggregator.Tracker().Update(apiregistrationv1.SchemeGroupVersion.WithResource("apiservices"), a, ""); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	err := e.runImport()
	if isOneOf(err, steps.ErrNothingChanged, steps.ErrRolledBack) || err == nil || !strings.Contains(err.Error(), "was pointed to batchgate-system/other by another client") {
		t.Errorf("the error is %v", err)
	}
	if got := e.APIService().Spec.Service.Name; got != "other" {
		t.Errorf("v1.batch points to %s", got)
	}
}

// Just after an import has created its guard, a second one replaces the freeze and finishes. The guard
// must stay.
func TestImport_UndoKeepsOtherGuard(t *testing.T) {
	e := newTestEnv(t)
	done := false
	e.After = func(request string) error {
		if request == "kube-apiserver create validatingadmissionpolicybindings batchgate-guard" && !done {
			done = true
			e.lift(policy.FreezeName)
			e.Touch(func(a *apiregistrationv1.APIService) {
				a.Spec.Service = &apiregistrationv1.ServiceReference{Namespace: fake.Service.Namespace, Name: fake.Service.Name, Port: ptr.To(fake.Service.Port)}
				a.Annotations = map[string]string{policy.EtcdAnnotation: policy.EtcdDedicated}
			})
		}
		return nil
	}
	if err := e.runImport(); err == nil || isOneOf(err, steps.ErrNothingChanged, steps.ErrRolledBack) {
		t.Errorf("the error is %v", err)
	}
	if !e.has(policy.GuardName) || !e.TakenOver() {
		t.Errorf("guarded %t, taken over %t", e.has(policy.GuardName), e.TakenOver())
	}
}

// One of two replicas does not see the freeze.
func TestFreezer_EveryReplica(t *testing.T) {
	e := newTestEnv(t)
	e.Timing.Switch = 50e6
	second := *e.Batchgate
	other := fake.New(etcdStorage{e.etcds.shared}, etcdStorage{e.etcds.dedicated})
	i := e.newImport()
	i.Batchgate.DialAll = func(ctx context.Context) ([]*cluster.Direct, func(), error) {
		return []*cluster.Direct{{Server: &second, Certificate: e.Certificate}, {Server: other.Batchgate, Certificate: e.Certificate}}, func() {}, nil
	}
	if err := i.Run(t.Context()); !errors.Is(err, steps.ErrRolledBack) || !strings.Contains(err.Error(), "waiting for all servers to deny writes") {
		t.Errorf("the error is %v", err)
	}
	e.checkShared()
}

func TestImport_ReplacesEditedGuard(t *testing.T) {
	e := imported(t)
	e.edit(policy.GuardName, edits["only warns"])
	if err := e.runImport(); err != nil || e.result("guard").Detail != "replaced, since it was edited" {
		t.Errorf("unexpected error or result: %v, %+v", err, e.result("guard"))
	}
	if err := e.VerifyDenial(t.Context(), cluster.Guard); err != nil {
		t.Error(err)
	}
	e.checkDedicated()
}
