// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/core"
	corev1 "k8s.io/client-go/informers/core/v1"
)

// withoutPodInformer is a SharedInformerFactory whose Pod informer never starts. The PodSecurity
// plugin lists Pods only if a Namespace changes, which never happens in this server. With a
// started informer, the server would cache all Pods of the cluster and need the permission to
// list them.
type withoutPodInformer struct {
	informers.SharedInformerFactory
	neverStarted informers.SharedInformerFactory
}

var _ informers.SharedInformerFactory = withoutPodInformer{}

// Core implements informers.SharedInformerFactory.
func (f withoutPodInformer) Core() core.Interface {
	return coreWithoutPodInformer{f.SharedInformerFactory.Core(), f.neverStarted}
}

type coreWithoutPodInformer struct {
	core.Interface
	neverStarted informers.SharedInformerFactory
}

var _ core.Interface = coreWithoutPodInformer{}

// V1 implements core.Interface.
func (c coreWithoutPodInformer) V1() corev1.Interface {
	return coreV1WithoutPodInformer{c.Interface.V1(), c.neverStarted}
}

type coreV1WithoutPodInformer struct {
	corev1.Interface
	neverStarted informers.SharedInformerFactory
}

var _ corev1.Interface = coreV1WithoutPodInformer{}

// Pods implements corev1.Interface.
func (c coreV1WithoutPodInformer) Pods() corev1.TypedPodInformer {
	return c.neverStarted.Core().V1().Pods()
}
