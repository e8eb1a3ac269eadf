// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

type endpoint struct {
	ready       bool
	terminating bool
	// host is the IP address.
	host string
	// pod and port are empty if the endpoint is not a Pod with a single port.
	pod  string
	port int32
}

func (c *Cluster) endpoints(ctx context.Context, service Service) ([]endpoint, error) {
	list, err := c.Kube.DiscoveryV1().EndpointSlices(service.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service.Name,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the endpoints of Service %s: %w", service, err)
	}
	var found []endpoint
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			one := endpoint{ready: ptr.Deref(e.Conditions.Ready, true), terminating: ptr.Deref(e.Conditions.Terminating, false)}
			if len(e.Addresses) > 0 {
				one.host = e.Addresses[0]
			}
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" && len(slice.Ports) == 1 && slice.Ports[0].Port != nil {
				one.pod, one.port = e.TargetRef.Name, *slice.Ports[0].Port
			}
			found = append(found, one)
		}
	}
	return found, nil
}

// kubernetesService is the Service whose endpoints are the kube-apiservers.
var kubernetesService = Service{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}

// HasKubernetesEndpoints reports whether the Service kubernetes has a ready endpoint, without
// which nothing in the cluster reaches kube-apiserver.
func (c *Cluster) HasKubernetesEndpoints(ctx context.Context) (bool, error) {
	_, ready, err := c.CountEndpoints(ctx, kubernetesService)
	return ready > 0, err
}

// CountEndpoints returns how many endpoints the Service has, and how many of them are ready. Terminating
// ones that are not ready do not count.
func (c *Cluster) CountEndpoints(ctx context.Context, service Service) (total, ready int, err error) {
	endpoints, err := c.endpoints(ctx, service)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range endpoints {
		if e.ready {
			ready++
		}
		if e.ready || !e.terminating {
			total++
		}
	}
	return total, ready, nil
}

// SingleKubeAPIServer returns the address of the only kube-apiserver that Service kubernetes lists.
// It returns an empty string if there is not exactly one, or if the user may not read the endpoints.
// It also does so if an endpoint of service has the same IP address, as with shared-etcd.
func (c *Cluster) SingleKubeAPIServer(ctx context.Context, service Service) string {
	addresses, err := c.kubeAPIServers(ctx)
	if err != nil || len(addresses) != 1 {
		return ""
	}
	host, _, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return ""
	}
	endpoints, err := c.endpoints(ctx, service)
	if err != nil || slices.ContainsFunc(endpoints, func(e endpoint) bool { return e.host == host }) {
		return ""
	}
	return addresses[0]
}

// ConnectReplicas connects to every ready replica of the Service, and returns a function that
// closes the connections. It fails if one of them cannot be reached.
func (c *Cluster) ConnectReplicas(ctx context.Context, service Service, caBundle []byte) ([]*Direct, func(), error) {
	endpoints, err := c.endpoints(ctx, service)
	if err != nil {
		return nil, nil, err
	}
	var found []*Direct
	var forwards []*Forward
	closeAll := func() {
		for _, forward := range forwards {
			forward.Close()
		}
	}
	for _, e := range endpoints {
		if !e.ready {
			continue
		}
		direct, forward, err := c.connectReplica(ctx, service, e, caBundle)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		found, forwards = append(found, direct), append(forwards, forward)
	}
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("the Service %s has no ready Pod: see kubectl -n %s describe pods", service, service.Namespace)
	}
	return found, closeAll, nil
}

func (c *Cluster) connectReplica(ctx context.Context, service Service, e endpoint, caBundle []byte) (*Direct, *Forward, error) {
	if e.pod == "" {
		return nil, nil, fmt.Errorf("the Service %s has an endpoint that is not a Pod: set the address of one replica with --batchgate-server", service)
	}
	forward, err := c.forwardPod(ctx, service.Namespace, e.pod, e.port)
	if err != nil {
		return nil, nil, err
	}
	direct, err := c.Connect(ctx, forward.Address, service, caBundle)
	if err != nil {
		forward.Close()
		return nil, nil, fmt.Errorf("connecting to Pod %s/%s: %w", service.Namespace, e.pod, err)
	}
	return direct, forward, nil
}
