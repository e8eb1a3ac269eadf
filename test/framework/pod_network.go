// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// podNetwork simulates kube-proxy for Batchgate's Service: it forwards new connections to the Pod IPs
// in the EndpointSlices, as kube-controller-manager has last updated them.
type podNetwork struct {
	client kubernetes.Interface
	cancel context.CancelFunc
	done   chan struct{}

	mu sync.Mutex
	// ports are the local ports of the Pods that run, by Pod IP.
	ports map[string]int
	// endpoints are the IPs in the EndpointSlices. They stay the same while kube-apiserver does not
	// answer.
	endpoints []string
}

// podsService selects the Pods of Batchgate. Its EndpointSlices replace those of the Service in
// artifacts/base, which has type ExternalName in tests and so has none.
const podsService = "batchgate-pods"

func (n *podNetwork) run(ctx context.Context) {
	defer close(n.done)
	for {
		list, err := n.client.DiscoveryV1().EndpointSlices(Namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + podsService})
		if err == nil {
			n.mu.Lock()
			n.endpoints = nil
			for _, slice := range list.Items {
				for _, endpoint := range slice.Endpoints {
					n.endpoints = append(n.endpoints, endpoint.Addresses...)
				}
			}
			n.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollInterval):
		}
	}
}

// localPorts returns the local port of each endpoint, or 0 if no running Pod has its IP.
func (n *podNetwork) localPorts() []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	var ports []int
	for _, ip := range n.endpoints {
		ports = append(ports, n.ports[ip])
	}
	return ports
}

// Endpoints returns the Pod IPs in the EndpointSlices of Batchgate, and how many of them belong to a
// Pod that runs.
func (c *Cluster) Endpoints() (ips []string, running int) {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	for _, ip := range c.network.endpoints {
		if _, ok := c.network.ports[ip]; ok {
			running++
		}
	}
	return append(ips, c.network.endpoints...), running
}

// InstallPods is Install with the Pods of the Deployment, each of which runs as a local process.
// NewPodIPs gives them IPs, and their Service follows the EndpointSlices. They connect to
// kube-apiserver through the Service kubernetes, which sends connections only to a ready
// kube-apiserver.
func (c *Cluster) InstallPods(ctx context.Context) error {
	var err error
	if c.kubernetesService, err = newServiceProxy(loadBalancerProbe); err != nil {
		return err
	}
	c.kubernetesService.add(c.APIServers[0].port)
	if err := c.prepareBatchgate(ctx, c.signServingCertificate); err != nil {
		return err
	}
	if err := setServer(c.batchgateKubeconfig(), c.ServiceConfig().Host); err != nil {
		return err
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: podsService}, Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone,
		Selector:  map[string]string{"app.kubernetes.io/name": Name},
		Ports:     []corev1.ServicePort{{Port: 8443}},
	}}
	if _, err := c.Client.CoreV1().Services(Namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return err
	}
	network := &podNetwork{client: c.Client, done: make(chan struct{}), ports: map[string]int{}}
	if c.proxy, err = newServiceProxy(*c.deployment.Spec.Template.Spec.Containers[0].ReadinessProbe); err != nil {
		return err
	}
	c.proxy.follow(network.localPorts)
	c.batchgatePort = c.proxy.port
	var running context.Context
	running, network.cancel = context.WithCancel(context.Background())
	c.network = network
	go network.run(running)
	if err := c.NewPodIPs(ctx); err != nil {
		return err
	}
	for _, pod := range c.Pods {
		if err := pod.Start(); err != nil {
			return err
		}
		if err := pod.waitUntil(ctx, "ready through its Service", func(ctx context.Context) bool { return c.BatchgateReady(ctx) == nil }); err != nil {
			return err
		}
	}
	return c.RegisterPolicyAPI(ctx)
}

// NewPodIPs gives each Pod of Batchgate a new IP and a new container, as a kubelet does when its node
// starts, and sets c.Pods. The caller starts the containers. kube-apiserver must answer, but need not
// be ready.
func (c *Cluster) NewPodIPs(ctx context.Context) error {
	pods, err := c.waitForPods(ctx, Namespace, Name, 2)
	if err != nil {
		return err
	}
	c.Pods = nil
	c.network.mu.Lock()
	clear(c.network.ports)
	c.network.mu.Unlock()
	for _, pod := range pods {
		port, err := FreePort()
		if err != nil {
			return err
		}
		c.replicasStarted++
		ip := fmt.Sprintf("192.0.2.%d", 10+c.replicasStarted) // reserved for documentation
		patch := fmt.Appendf(nil, `{"status":{"podIP":%q,"podIPs":[{"ip":%q}]}}`, ip, ip)
		if _, err := c.Client.CoreV1().Pods(Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			return err
		}
		name := fmt.Sprintf("batchgate-apiserver-%d", c.replicasStarted)
		args := append(c.batchgateArgs(port), "--shutdown-delay-duration=0s",
			"--audit-log-path="+filepath.Join(c.Dir, name+"-audit.jsonl"))
		p := c.process(name, c.binaries.Batchgate, args)
		c.containers = append(c.containers, p)
		c.Pods = append(c.Pods, p)
		c.network.mu.Lock()
		c.network.ports[ip] = port
		c.network.mu.Unlock()
	}
	return nil
}

// ServiceConfig returns an admin's configuration that connects to kube-apiserver only while that is
// ready, as a load balancer and the Service kubernetes do.
func (c *Cluster) ServiceConfig() *rest.Config {
	config := rest.CopyConfig(c.Config)
	config.Host = "https://" + loopback(c.kubernetesService.port)
	return config
}
