package upstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// markerAnnotation tells the fake kubelet whether a Pod finds its marker file; see stages.yaml.
const markerAnnotation = "test.batchgate.io/marker"

// disk is what is left of the host paths of a cluster's nodes: scripts of upstream's specs leave
// a marker file there, for the Pod that comes after theirs.
type disk struct {
	client kubernetes.Interface
	// firsts are the Pods that have made a marker, by its path.
	firsts map[string]types.UID
}

// playDisk tells Pods whether their marker file is there, until ctx ends.
func playDisk(ctx context.Context, client kubernetes.Interface) error {
	d := &disk{client: client, firsts: map[string]types.UID{}}
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Core().V1().Pods().Informer()
	// Handlers are called one after the other.
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(obj any) {
		if err := d.add(ctx, obj.(*corev1.Pod)); err != nil {
			klog.FromContext(ctx).Error(err, "A Pod will run on, since it was not told about its marker file")
		}
	}})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return errors.New("the Pods could not be listed")
	}
	return nil
}

// add tells a Pod that is new, if it will look for a file.
func (d *disk) add(ctx context.Context, pod *corev1.Pod) error {
	path := markerPath(pod)
	if path == "" {
		return nil
	}
	marker := "present"
	if first, ok := d.firsts[path]; !ok || first == pod.UID {
		d.firsts[path] = pod.UID
		marker = "absent"
	}
	patch := fmt.Appendf(nil, `{"metadata": {"annotations": {%q: %q}}}`, markerAnnotation, marker)
	return wait.PollUntilContextTimeout(ctx, time.Second, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := d.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err == nil || apierrors.IsNotFound(err), nil
	})
}

// markerPath returns the path of the file, empty for a Pod without one. A container that is
// restarted in place needs none: the fake kubelet counts its restarts.
func markerPath(pod *corev1.Pod) string {
	if pod.Spec.RestartPolicy != corev1.RestartPolicyNever || pod.Spec.Containers[0].RestartPolicy != nil {
		return ""
	}
	for _, volume := range pod.Spec.Volumes {
		if volume.HostPath != nil {
			return volume.HostPath.Path + "/foo-" + pod.Annotations[batchv1.JobCompletionIndexAnnotation]
		}
	}
	return ""
}
