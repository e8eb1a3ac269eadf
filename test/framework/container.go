// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// containerProcess returns the process of a container. The volumes are local paths by name.
func (c *Cluster) containerProcess(ctx context.Context, p *LocalPod, container *corev1.Container, volumes map[string]string) (*Process, error) {
	env, err := c.containerEnv(ctx, p.pod, container)
	if err != nil {
		return nil, err
	}
	replacements := map[string]string{}
	maps.Copy(replacements, p.overrides.addresses)
	for containerPort, local := range p.overrides.ports {
		replacements[fmt.Sprintf("0.0.0.0:%d", containerPort)] = loopback(local)
		replacements[fmt.Sprintf("--secure-port=%d", containerPort)] = fmt.Sprintf("--secure-port=%d", local)
	}
	for _, mount := range container.VolumeMounts {
		replacements[mount.MountPath] = volumes[mount.Name]
	}
	replacer := newReplacer(replacements)
	var args []string
	for _, arg := range slices.Concat(container.Command, container.Args) {
		args = append(args, replacer.Replace(expansion.Expand(arg, expansion.MappingFuncFor(env))))
	}
	process := c.process(p.pod.Name+"-"+container.Name, "", args)
	isBatchgate := len(container.Command) == 0 && strings.HasPrefix(container.Image, Name+":")
	switch {
	case len(container.Command) > 0:
		process.binary, process.args = c.toolPath(args[0]), args[1:]
	case isBatchgate:
		process.binary, process.exitsZero = c.binaries.Batchgate, true
	default:
		return nil, fmt.Errorf("no program for the image %s: add it to containerProcess", container.Image)
	}
	if strings.Contains(strings.Join(args, " "), "--secure-port=") {
		process.args = append(process.args, "--bind-address=127.0.0.1")
	}
	if isBatchgate && strings.Contains(strings.Join(args, " "), emulatedVersionFlag) {
		process.args = c.binaries.emulate(process.args)
	}
	if isBatchgate && mountsServiceAccountToken(p.pod) {
		if err := c.writeBatchgateKubeconfig(ctx); err != nil {
			return nil, err
		}
		process.args = append(process.args, "--kubeconfig="+c.batchgateKubeconfig())
	}
	return process, nil
}

// newReplacer replaces keys with values, and prefers longer keys.
func newReplacer(replacements map[string]string) *strings.Replacer {
	keys := slices.SortedFunc(maps.Keys(replacements), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, key := range keys {
		pairs = append(pairs, key, replacements[key])
	}
	return strings.NewReplacer(pairs...)
}

// containerEnv returns the environment variables in the spec of a container.
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
			return nil, fmt.Errorf("the source of the variable %s is not supported: add it to containerEnv", variable.Name)
		}
	}
	return env, nil
}
