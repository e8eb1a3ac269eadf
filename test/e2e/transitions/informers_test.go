// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// informerCache caches all Jobs and Pods, so that waiting sends no requests.
type informerCache struct {
	jobs, pods cache.Indexer
}

func startInformers(t *testing.T, client kubernetes.Interface) *informerCache {
	t.Helper()
	factory := informers.NewSharedInformerFactory(client, 0)
	jobs, pods := factory.Batch().V1().Jobs().Informer(), factory.Core().V1().Pods().Informer()
	if err := pods.AddIndexers(cache.Indexers{testJobLabel: func(obj any) ([]string, error) {
		return []string{obj.(*corev1.Pod).Labels[testJobLabel]}, nil
	}}); err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	for kind, synced := range factory.WaitForCacheSync(t.Context().Done()) {
		if !synced {
			t.Fatalf("the informer for %s did not sync", kind)
		}
	}
	return &informerCache{jobs: jobs.GetIndexer(), pods: pods.GetIndexer()}
}

// job returns nil if the Job is not in the cache.
func (c *informerCache) job(namespace, name string) *batchv1.Job {
	obj, ok, _ := c.jobs.GetByKey(namespace + "/" + name)
	if !ok {
		return nil
	}
	return obj.(*batchv1.Job)
}

// podsFor returns the Pods of a Job's template, whichever Job owns them.
func (c *informerCache) podsFor(job string) []*corev1.Pod {
	objs, _ := c.pods.ByIndex(testJobLabel, job)
	return sortPods(objs)
}

func (c *informerCache) podsIn(namespace string) []*corev1.Pod {
	objs, _ := c.pods.ByIndex(cache.NamespaceIndex, namespace)
	return sortPods(objs)
}

func sortPods(objs []any) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, obj := range objs {
		pods = append(pods, obj.(*corev1.Pod))
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return pods
}
