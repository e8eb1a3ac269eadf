// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

func TestRegisterBindingInformer(t *testing.T) {
	newBinding := func(name string, labels map[string]string) *admissionregistrationv1.ValidatingAdmissionPolicyBinding {
		return &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	factory := informers.NewSharedInformerFactory(fake.NewClientset(
		newBinding("batchgate-guard", map[string]string{"batchgate.io/enforced-by": "kube-apiserver"}),
		newBinding("other-value", map[string]string{"batchgate.io/enforced-by": "x"}),
		newBinding("unlabeled", nil),
	), 0)
	registerBindingInformer(factory)
	// Request the informer as an admission plugin does.
	bindings := factory.Admissionregistration().V1().ValidatingAdmissionPolicyBindings()
	bindings.Informer()

	stop := make(chan struct{})
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	close(stop)
	factory.Shutdown()
	listed, err := bindings.Lister().List(labels.Everything())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, binding := range listed {
		names = append(names, binding.Name)
	}
	slices.Sort(names)
	if want := []string{"other-value", "unlabeled"}; !slices.Equal(names, want) {
		t.Errorf("got bindings %q, want %q", names, want)
	}
}
