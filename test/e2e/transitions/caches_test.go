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

// caches follow all Jobs and Pods, so that waiting asks no server.
type caches struct {
	jobs, pods cache.Indexer
}

func follow(t *testing.T, client kubernetes.Interface) *caches {
	t.Helper()
	factory := informers.NewSharedInformerFactory(client, 0)
	jobs, pods := factory.Batch().V1().Jobs().Informer(), factory.Core().V1().Pods().Informer()
	if err := pods.AddIndexers(cache.Indexers{cellLabel: func(obj any) ([]string, error) {
		return []string{obj.(*corev1.Pod).Labels[cellLabel]}, nil
	}}); err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	for kind, synced := range factory.WaitForCacheSync(t.Context().Done()) {
		if !synced {
			t.Fatalf("no %s were listed", kind)
		}
	}
	return &caches{jobs: jobs.GetIndexer(), pods: pods.GetIndexer()}
}

// job returns a Job as it was seen last, nil if it is not there.
func (c *caches) job(namespace, name string) *batchv1.Job {
	obj, ok, _ := c.jobs.GetByKey(namespace + "/" + name)
	if !ok {
		return nil
	}
	return obj.(*batchv1.Job)
}

// podsOf returns the Pods made for a Job, whoever they belong to.
func (c *caches) podsOf(job string) []*corev1.Pod {
	objs, _ := c.pods.ByIndex(cellLabel, job)
	return collect(objs)
}

func (c *caches) podsIn(namespace string) []*corev1.Pod {
	objs, _ := c.pods.ByIndex(cache.NamespaceIndex, namespace)
	return collect(objs)
}

func collect(objs []any) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, obj := range objs {
		pods = append(pods, obj.(*corev1.Pod))
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return pods
}
