package takeover

import (
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// endpoint is one of a Service.
type endpoint struct {
	ready bool
	// pod is the name of the Pod it is at, empty where it is at none, and port its port there.
	pod  string
	port int32
}

// endpoints returns those of the Service.
func (c *Cluster) endpoints(ctx context.Context, service Service) ([]endpoint, error) {
	slices, err := c.Kube.DiscoveryV1().EndpointSlices(service.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service.Name,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the endpoints of Service %s: %w", service, err)
	}
	var found []endpoint
	for _, slice := range slices.Items {
		for _, e := range slice.Endpoints {
			one := endpoint{ready: e.Conditions.Ready == nil || *e.Conditions.Ready}
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" && len(slice.Ports) == 1 && slice.Ports[0].Port != nil {
				one.pod, one.port = e.TargetRef.Name, *slice.Ports[0].Port
			}
			found = append(found, one)
		}
	}
	return found, nil
}

// countReady returns how many are ready.
func countReady(endpoints []endpoint) int {
	ready := 0
	for _, e := range endpoints {
		if e.ready {
			ready++
		}
	}
	return ready
}
