package framework

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mountVolumes makes a directory for each volume of a Pod, with what the cluster has for it,
// and returns their paths by name.
func (c *Cluster) mountVolumes(ctx context.Context, pod *corev1.Pod, machine Machine) (map[string]string, error) {
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
			local, known := machine.HostPaths[volume.HostPath.Path]
			if !known {
				return nil, fmt.Errorf("there is no local path for %s of the node", volume.HostPath.Path)
			}
			paths[volume.Name] = local
			continue
		case volume.PersistentVolumeClaim != nil:
			// It outlives the Pod.
			path = filepath.Join(c.Dir, "volumes", volume.PersistentVolumeClaim.ClaimName)
		case volume.EmptyDir != nil, volume.Projected != nil:
		default:
			return nil, fmt.Errorf("the volume %s is of a kind that is not known here", volume.Name)
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

// serviceAccountVolume returns the name of the volume with the token of the Pod's service
// account, or nothing if it has none.
func serviceAccountVolume(pod *corev1.Pod) string {
	for _, volume := range pod.Spec.Volumes {
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.ServiceAccountToken != nil {
				return volume.Name
			}
		}
	}
	return ""
}

// containerEnv returns the environment variables that the spec gives to a container.
func (c *Cluster) containerEnv(ctx context.Context, pod *corev1.Pod, container *corev1.Container) (map[string]string, error) {
	env := map[string]string{}
	for _, variable := range container.Env {
		from := variable.ValueFrom
		switch {
		case from == nil:
			env[variable.Name] = variable.Value
		case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.name":
			env[variable.Name] = pod.Name
		case from.ConfigMapKeyRef != nil:
			configMap, err := c.Client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, from.ConfigMapKeyRef.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			env[variable.Name] = configMap.Data[from.ConfigMapKeyRef.Key]
		default:
			return nil, fmt.Errorf("the variable %s is from a source that is not known here", variable.Name)
		}
	}
	return env, nil
}
