// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// testNamespace is the namespace of all Jobs with one mode and feature. Its neighbor is another Job
// with running Pods, which the tests must not affect.
type testNamespace struct {
	once         sync.Once
	namespace    string
	neighbor     *batchv1.Job
	pods         map[types.UID]string
	neighborTest *jobTest
}

type testNamespaces struct {
	t      *testing.T
	client kubernetes.Interface
	cache  *informerCache
	all    map[string]*testNamespace
}

func newTestNamespaces(t *testing.T, client kubernetes.Interface, cache *informerCache) *testNamespaces {
	ns := &testNamespaces{t: t, client: client, cache: cache, all: map[string]*testNamespace{}}
	for _, m := range modes {
		for _, f := range features {
			name := strings.ToLower(strings.ReplaceAll(string(m)+"-"+string(f), " ", "-"))
			ns.all[string(m)+string(f)] = &testNamespace{namespace: name}
		}
	}
	return ns
}

// get returns the namespace for a combination and creates it on first use.
func (ns *testNamespaces) get(t *testing.T, c combination) *testNamespace {
	t.Helper()
	n := ns.all[string(c.mode)+string(c.feature)]
	n.once.Do(func() { ns.create(t, n) })
	if n.pods == nil {
		t.Fatalf("creating namespace %s failed in another test", n.namespace)
	}
	return n
}

// create creates the namespace and the neighbor.
func (ns *testNamespaces) create(t *testing.T, n *testNamespace) {
	t.Helper()
	ctx := ns.t.Context()
	jt := &jobTest{t: t, client: ns.client, cache: ns.cache, combination: combination{nonIndexed, manualSelector, running, noChange}, namespace: n.namespace, name: "neighbor-of-" + n.namespace}
	_, err := ns.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.namespace}}, metav1.CreateOptions{})
	jt.must(err)
	jt.eventually("have a service account for Pods", func() error {
		_, err := ns.client.CoreV1().ServiceAccounts(n.namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	n.neighbor, err = ns.client.BatchV1().Jobs(n.namespace).Create(ctx, newJob(jt.name, jt.combination), metav1.CreateOptions{})
	jt.must(err)
	jt.awaitRunning(2)
	n.pods, n.neighborTest = podOwners(jt.podsMatching(anyPod)), jt
}

// podOwners returns the names of the owners by the UID of the Pod.
func podOwners(pods []*corev1.Pod) map[types.UID]string {
	owners := map[types.UID]string{}
	for _, pod := range pods {
		if owner := metav1.GetControllerOf(pod); owner != nil {
			owners[pod.UID] = owner.Name
		}
	}
	return owners
}

// checkUndisturbed checks that each neighbor still owns its original Pods and completes with them, and
// that each Pod belongs to the Job whose template it is from.
func (ns *testNamespaces) checkUndisturbed(t *testing.T) {
	for _, n := range ns.all {
		if n.neighborTest == nil {
			continue
		}
		jt := n.neighborTest
		jt.t = t
		if owners := podOwners(jt.podsMatching(anyPod)); !maps.Equal(owners, n.pods) {
			t.Errorf("the owners of the Pods of %s changed from %v to %v", jt.name, n.pods, owners)
		}
		jt.releasePods("Complete")
		jt.checkOutcome(outcome{condition: "Complete", model: model{succeeded: []int{0, 1, 2, 3}}})
		jt.eventually("own the Pods of its template only", func() error {
			for _, pod := range jt.cache.podsIn(n.namespace) {
				if owner := metav1.GetControllerOf(pod); owner == nil || owner.Name != pod.Labels[testJobLabel] {
					return fmt.Errorf("Pod %s is from the template of %s but owned by %v", pod.Name, pod.Labels[testJobLabel], owner)
				}
			}
			return nil
		})
	}
}
