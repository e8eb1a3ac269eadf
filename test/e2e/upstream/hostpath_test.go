// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// markerAnnotation tells the fake kubelet whether the marker file of a Pod exists, see stages.yaml.
const markerAnnotation = "test.batchgate.io/marker"

// hostPathFiles simulates the hostPath volumes of nodes. Scripts of upstream's specs create a marker file
// there, which the next Pod of the Job finds.
type hostPathFiles struct {
	client kubernetes.Interface
	// creators has the UID of the Pod that creates a marker file, by the path of the file.
	creators map[string]types.UID
}

// startHostPathFiles annotates new Pods until ctx ends.
func startHostPathFiles(ctx context.Context, client kubernetes.Interface) error {
	f := &hostPathFiles{client: client, creators: map[string]types.UID{}}
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Core().V1().Pods().Informer()
	// The informer calls the handler sequentially, so the map needs no lock.
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(obj any) {
		if err := f.annotate(ctx, obj.(*corev1.Pod)); err != nil {
			klog.FromContext(ctx).Error(err, "Failed to annotate Pod, it will not end", "pod", klog.KObj(obj.(*corev1.Pod)))
		}
	}})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return errors.New("the Pod informer did not sync")
	}
	return nil
}

// annotate sets markerAnnotation on a new Pod that looks for a marker file.
func (f *hostPathFiles) annotate(ctx context.Context, pod *corev1.Pod) error {
	path := markerPath(pod)
	if path == "" {
		return nil
	}
	marker := "present"
	if first, ok := f.creators[path]; !ok || first == pod.UID {
		f.creators[path] = pod.UID
		marker = "absent"
	}
	patch := fmt.Appendf(nil, `{"metadata": {"annotations": {%q: %q}}}`, markerAnnotation, marker)
	return wait.PollUntilContextTimeout(ctx, time.Second, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := f.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err == nil || apierrors.IsNotFound(err), nil
	})
}

// markerPath returns the path of the marker file, or "" for a Pod without one. A container that is
// restarted in place needs no file, because the fake kubelet counts its restarts.
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
