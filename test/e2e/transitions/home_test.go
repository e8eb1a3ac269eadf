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

// home is the namespace of all Jobs of one mode and feature. Another Job lives there, whose
// Pods run all the time; nobody may touch them.
type home struct {
	once      sync.Once
	namespace string
	neighbour *batchv1.Job
	pods      map[types.UID]string
	bench     *bench
}

type homes struct {
	t      *testing.T
	client kubernetes.Interface
	seen   *caches
	all    map[string]*home
}

func newHomes(t *testing.T, client kubernetes.Interface, seen *caches) *homes {
	h := &homes{t: t, client: client, seen: seen, all: map[string]*home{}}
	for _, m := range modes {
		for _, f := range features {
			name := strings.ToLower(strings.ReplaceAll(string(m)+"-"+string(f), " ", "-"))
			h.all[string(m)+string(f)] = &home{namespace: name}
		}
	}
	return h
}

// of returns the home of a cell.
func (h *homes) of(t *testing.T, c cell) *home {
	t.Helper()
	home := h.all[string(c.mode)+string(c.feature)]
	home.once.Do(func() { h.settle(t, home) })
	if home.pods == nil {
		t.Fatalf("the namespace %s was not made", home.namespace)
	}
	return home
}

// settle makes the namespace and the neighbour.
func (h *homes) settle(t *testing.T, home *home) {
	t.Helper()
	ctx := h.t.Context()
	b := &bench{t: t, client: h.client, seen: h.seen, cell: cell{nonIndexed, manualSelector, running, unchanged}, namespace: home.namespace, name: "neighbour-of-" + home.namespace}
	_, err := h.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: home.namespace}}, metav1.CreateOptions{})
	b.must(err)
	b.eventually("have a service account for Pods", func() error {
		_, err := h.client.CoreV1().ServiceAccounts(home.namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	home.neighbour, err = h.client.BatchV1().Jobs(home.namespace).Create(ctx, newJob(b.name, b.cell), metav1.CreateOptions{})
	b.must(err)
	b.running(2)
	home.pods, home.bench = owners(b.pods(all)), b
}

// owners returns the owners of Pods by UID.
func owners(pods []*corev1.Pod) map[types.UID]string {
	owners := map[types.UID]string{}
	for _, pod := range pods {
		if owner := metav1.GetControllerOf(pod); owner != nil {
			owners[pod.UID] = owner.Name
		}
	}
	return owners
}

// undisturbed checks that the neighbours have the Pods that they had, and complete with them,
// and that each Pod belongs to the Job that it was made for.
func (h *homes) undisturbed(t *testing.T) {
	for _, home := range h.all {
		if home.bench == nil {
			continue
		}
		b := home.bench
		b.t = t
		if is := owners(b.pods(all)); !maps.Equal(is, home.pods) {
			t.Errorf("the Pods of %s, and their owners, were %v and are %v", b.name, home.pods, is)
		}
		b.release("Complete")
		b.checkEnd(outcome{condition: "Complete", facts: facts{succeeded: []int{0, 1, 2, 3}}})
		b.eventually("see each Pod with the Job it was made for", func() error {
			for _, pod := range b.seen.podsIn(home.namespace) {
				if owner := metav1.GetControllerOf(pod); owner == nil || owner.Name != pod.Labels[cellLabel] {
					return fmt.Errorf("%s, made for %s, belongs to %v", pod.Name, pod.Labels[cellLabel], owner)
				}
			}
			return nil
		})
	}
}
