// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// WaitUntilReady waits until all probes of all containers succeed.
func (p *LocalPod) WaitUntilReady(ctx context.Context) error {
	for i, container := range p.pod.Spec.Containers {
		for _, probe := range []*corev1.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
			if probe == nil {
				return fmt.Errorf("container %s of Pod %s lacks a startup, liveness or readiness probe", container.Name, p.pod.Name)
			}
			url, err := p.probeURL(&container, probe)
			if err != nil {
				return err
			}
			if err := p.Processes[i].WaitForOK(ctx, url); err != nil {
				return err
			}
		}
	}
	return nil
}

// probeURL returns the URL of a probe on this machine.
func (p *LocalPod) probeURL(container *corev1.Container, probe *corev1.Probe) (string, error) {
	get := probe.HTTPGet
	for _, port := range container.Ports {
		if port.Name == get.Port.String() || port.ContainerPort == get.Port.IntVal {
			scheme := strings.ToLower(string(cmp.Or(get.Scheme, corev1.URISchemeHTTP)))
			return scheme + "://" + loopback(p.overrides.ports[port.ContainerPort]) + get.Path, nil
		}
	}
	return "", fmt.Errorf("container %s of Pod %s does not declare the port %s of a probe", container.Name, p.pod.Name, get.Port.String())
}

// probeHTTP returns an error unless the URL returns 200.
func probeHTTP(ctx context.Context, url string) error {
	return get(ctx, newProbeClient(15*time.Second), url)
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return nil
}
