// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/klog/v2"
)

// Forward is a local port that is forwarded to a Pod.
type Forward struct {
	// Address is the host:port of the local port.
	Address string

	stop context.CancelFunc
}

// Close stops forwarding.
func (f *Forward) Close() { f.stop() }

// ForwardPort forwards a local port to a ready Pod of the Service, as kubectl port-forward does.
func (c *Cluster) ForwardPort(ctx context.Context, service Service) (*Forward, error) {
	pod, port, err := c.readyPod(ctx, service)
	if err != nil {
		return nil, err
	}
	return c.forwardPod(ctx, service.Namespace, pod, port)
}

func (c *Cluster) forwardPod(ctx context.Context, namespace, pod string, port int32) (*Forward, error) {
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return nil, err
	}
	url := c.Kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	forward := &Forward{}
	ready := make(chan struct{})
	// A lost connection fails a request, so it need not be logged.
	quiet, cancel := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), klog.Logger{}))
	forward.stop = cancel
	forwarder, err := portforward.NewOnAddressesWithContext(quiet, dialer, []string{"localhost"}, []string{fmt.Sprintf("0:%d", port)}, ready, io.Discard, io.Discard)
	if err != nil {
		cancel()
		return nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		cancel()
		return nil, fmt.Errorf("forwarding a port to Pod %s/%s: %w", namespace, pod, err)
	case <-ctx.Done():
		forward.Close()
		return nil, ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		forward.Close()
		return nil, err
	}
	forward.Address = fmt.Sprintf("localhost:%d", ports[0].Local)
	return forward, nil
}

// readyPod returns the name and port of a ready Pod of the Service.
func (c *Cluster) readyPod(ctx context.Context, service Service) (string, int32, error) {
	endpoints, err := c.endpoints(ctx, service)
	if err != nil {
		return "", 0, err
	}
	for _, e := range endpoints {
		if e.ready && e.pod != "" {
			return e.pod, e.port, nil
		}
	}
	return "", 0, fmt.Errorf("the Service %s has no ready Pod: see kubectl -n %s describe pods", service, service.Namespace)
}
