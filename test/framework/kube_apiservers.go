// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// loadBalancerProbe is how the load balancer in front of several kube-apiservers checks them.
var loadBalancerProbe = corev1.Probe{
	ProbeHandler:     corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz"}},
	PeriodSeconds:    1,
	TimeoutSeconds:   5,
	FailureThreshold: 1,
}

// KubeAPIServer is a kube-apiserver of a Cluster.
type KubeAPIServer struct {
	*Process
	// Config authenticates as an admin and connects to this server, without the load balancer.
	Config *rest.Config

	port int
	// defaults are the arguments of the first start.
	defaults []string
	backend  *backend
}

// Client returns a client that connects to this server, without the load balancer.
func (s *KubeAPIServer) Client() (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(s.Config)
}

// allocateAPIServers chooses the ports of the kube-apiservers. If there are several, it starts the
// load balancer in front of them.
func (c *Cluster) allocateAPIServers() error {
	count := max(c.options.APIServers, 1)
	for range count {
		port, err := FreePort()
		if err != nil {
			return err
		}
		c.APIServers = append(c.APIServers, &KubeAPIServer{port: port})
	}
	if count == 1 {
		c.ports.apiServer = c.APIServers[0].port
		return nil
	}
	var err error
	if c.loadBalancer, err = newServiceProxy(loadBalancerProbe); err != nil {
		return err
	}
	c.ports.apiServer = c.loadBalancer.port
	return nil
}

// defineAPIServers sets the processes of the kube-apiservers. c.APIServer is the first.
func (c *Cluster) defineAPIServers() {
	for i, s := range c.APIServers {
		s.Process = c.tool("kube-apiserver", slices.Concat(c.apiServerArgs(s.port), c.options.featureGateArgs(), c.options.APIServerArgs))
		if i > 0 {
			s.Name = fmt.Sprintf("kube-apiserver-%d", i+1)
		}
		s.defaults = s.args
		s.Config = rest.CopyConfig(c.Config)
		s.Config.Host = "https://" + loopback(s.port)
	}
	c.APIServer = c.APIServers[0].Process
}

// RestartKubeAPIServer restarts a kube-apiserver with additional arguments, which replace defaults
// of the same flag. It drops the arguments of earlier calls. It returns when the server is ready and
// the load balancer, if there is one, sends it new connections again.
func (c *Cluster) RestartKubeAPIServer(ctx context.Context, s *KubeAPIServer, args ...string) error {
	if err := s.Stop(); err != nil {
		return err
	}
	replaced := func(arg string) bool {
		flag, _, _ := strings.Cut(arg, "=")
		return slices.ContainsFunc(args, func(other string) bool { return strings.HasPrefix(other, flag+"=") })
	}
	s.args = append(slices.DeleteFunc(slices.Clone(s.defaults), replaced), args...)
	return c.startKubeAPIServer(ctx, s)
}

func (c *Cluster) startKubeAPIServer(ctx context.Context, s *KubeAPIServer) error {
	if err := s.Start(); err != nil {
		return err
	}
	if c.loadBalancer != nil && s.backend == nil {
		s.backend = c.loadBalancer.add(s.port)
	}
	client, err := s.Client()
	if err != nil {
		return err
	}
	return s.waitUntil(ctx, "ready", func(ctx context.Context) bool {
		ready := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil
		return ready && (s.backend == nil || c.loadBalancer.ready(s.backend))
	})
}
