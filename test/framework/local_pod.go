// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
)

// LocalPod runs the containers of a Pod as local processes, because the nodes are fake.
type LocalPod struct {
	// Processes are the containers, in the order of the spec.
	Processes []*Process

	pod            *corev1.Pod
	overrides      podOverrides
	initContainers []*Process
}

// podOverrides replaces the parts of a Pod's spec that do not work on this machine.
type podOverrides struct {
	// ports are local ports by container port. Other container ports get a free port.
	ports map[int32]int
	// addresses are replaced in arguments, for example example.svc:2379 with 127.0.0.1:20001.
	addresses map[string]string
	// hostPaths are local files and directories by host path.
	hostPaths map[string]string
}

// newLocalPod prepares the processes of a Pod. It expands variables in the arguments, and writes the
// Secrets and ConfigMaps of the volumes to local directories.
func (c *Cluster) newLocalPod(ctx context.Context, pod *corev1.Pod, overrides podOverrides) (*LocalPod, error) {
	p := &LocalPod{pod: pod, overrides: overrides}
	p.overrides.ports = maps.Clone(overrides.ports)
	if p.overrides.ports == nil {
		p.overrides.ports = map[int32]int{}
	}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if p.overrides.ports[port.ContainerPort] != 0 {
				continue
			}
			var err error
			if p.overrides.ports[port.ContainerPort], err = FreePort(); err != nil {
				return nil, err
			}
		}
	}
	volumes, err := c.mountVolumes(ctx, pod, overrides.hostPaths)
	if err != nil {
		return nil, fmt.Errorf("mounting the volumes of Pod %s: %w", pod.Name, err)
	}
	for _, list := range []struct {
		containers []corev1.Container
		processes  *[]*Process
	}{{pod.Spec.InitContainers, &p.initContainers}, {pod.Spec.Containers, &p.Processes}} {
		for _, container := range list.containers {
			process, err := c.containerProcess(ctx, p, &container, volumes)
			if err != nil {
				return nil, fmt.Errorf("container %s of Pod %s: %w", container.Name, pod.Name, err)
			}
			*list.processes = append(*list.processes, process)
			c.containers = append(c.containers, process)
		}
	}
	return p, nil
}

// Start runs the init containers in order and starts the other containers.
func (p *LocalPod) Start(ctx context.Context) error {
	for _, process := range p.initContainers {
		if err := process.runToCompletion(ctx); err != nil {
			return err
		}
	}
	for _, process := range p.Processes {
		if err := process.Start(); err != nil {
			return err
		}
	}
	return nil
}
