// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mountVolumes creates a directory for each volume of a Pod, with the content of its Secret or
// ConfigMap, and returns the paths by volume name. The hostPaths are local paths by host path.
func (c *Cluster) mountVolumes(ctx context.Context, pod *corev1.Pod, hostPaths map[string]string) (map[string]string, error) {
	paths := map[string]string{}
	for _, volume := range pod.Spec.Volumes {
		path := filepath.Join(c.Dir, "pods", pod.Name, volume.Name)
		content := map[string][]byte{}
		switch {
		case volume.Secret != nil:
			secret, err := c.Client.CoreV1().Secrets(pod.Namespace).Get(ctx, volume.Secret.SecretName, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			content = secret.Data
		case volume.ConfigMap != nil:
			configMap, err := c.Client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, volume.ConfigMap.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			for name, value := range configMap.Data {
				content[name] = []byte(value)
			}
		case volume.HostPath != nil:
			local, known := hostPaths[volume.HostPath.Path]
			if !known {
				return nil, fmt.Errorf("no local path for the host path %s: add it to podOverrides", volume.HostPath.Path)
			}
			paths[volume.Name] = local
			continue
		case volume.PersistentVolumeClaim != nil:
			// The volume outlives the Pod, so it is not in the directory of the Pod.
			path = filepath.Join(c.Dir, "volumes", volume.PersistentVolumeClaim.ClaimName)
		case volume.EmptyDir != nil, volume.Projected != nil:
		default:
			return nil, fmt.Errorf("the type of the volume %s is not supported: add it to mountVolumes", volume.Name)
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, err
		}
		for name, value := range content {
			if err := os.WriteFile(filepath.Join(path, name), value, 0o600); err != nil {
				return nil, err
			}
		}
		paths[volume.Name] = path
	}
	return paths, nil
}

// mountsServiceAccountToken reports whether a volume contains a token of the service account.
func mountsServiceAccountToken(pod *corev1.Pod) bool {
	for _, volume := range pod.Spec.Volumes {
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.ServiceAccountToken != nil {
				return true
			}
		}
	}
	return false
}
