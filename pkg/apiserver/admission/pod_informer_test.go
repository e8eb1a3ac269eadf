// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

// The server has neither the permission to list Pods nor the memory to cache them.
func TestPodInformerNeverStarts(t *testing.T) {
	client := fake.NewClientset()
	shared := informers.NewSharedInformerFactory(client, 0)
	factory := withoutPodInformer{shared, informers.NewSharedInformerFactory(client, 0)}
	factory.Core().V1().Namespaces().Informer()
	factory.Core().V1().Pods().Informer()
	if factory.Core().V1().Pods().Lister() == nil {
		t.Error("the Pod lister is nil, but the PodSecurity plugin requires one")
	}

	stop := make(chan struct{})
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	close(stop)
	factory.Shutdown()
	listed := map[string]bool{}
	for _, action := range client.Actions() {
		listed[action.GetResource().Resource] = true
	}
	if diff := cmp.Diff(map[string]bool{"namespaces": true}, listed); diff != "" {
		t.Errorf("unexpected list and watch requests (-want +got):\n%s", diff)
	}
}
