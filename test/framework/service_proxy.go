// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// serviceProxy simulates the Service in front of replicas: the readiness probes of kubelets, the
// endpoints and kube-proxy. It forwards a new connection to a random ready replica. Like
// kube-proxy, it leaves existing connections alone when a replica becomes unready.
type serviceProxy struct {
	// port is a port of the loopback interface.
	port int

	listener net.Listener
	probe    corev1.Probe
	client   *http.Client
	running  sync.WaitGroup

	mu       sync.Mutex
	backends map[*backend]struct{}
	// endpoints returns local ports that get connections too. It may be nil.
	endpoints func() []int
	// conns are open connections; nil once the proxy is closed.
	conns map[net.Conn]struct{}
}

// backend is the proxy's view of a replica.
type backend struct {
	port               int
	ready, terminating bool
	// failures counts the failed probes since the last successful one.
	failures int
	stop     context.CancelFunc
}

// newServiceProxy starts a proxy that probes its backends with the readiness probe.
func newServiceProxy(probe corev1.Probe) (*serviceProxy, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return nil, err
	}
	p := &serviceProxy{
		port: port, listener: listener, probe: probe,
		backends: map[*backend]struct{}{}, conns: map[net.Conn]struct{}{},
		client: newProbeClient(time.Duration(probe.TimeoutSeconds) * time.Second),
	}
	p.running.Go(p.serve)
	return p, nil
}

// newProbeClient returns a client that, like the probes of a kubelet, does not verify
// certificates and opens a connection per request.
func newProbeClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
}

// add starts to probe a replica, which receives connections once it is ready.
func (p *serviceProxy) add(port int) *backend {
	ctx, cancel := context.WithCancel(context.Background())
	b := &backend{port: port, stop: cancel}
	p.mu.Lock()
	p.backends[b] = struct{}{}
	p.mu.Unlock()
	p.running.Go(func() { p.probeUntilDone(ctx, b) })
	return b
}

// terminate marks a replica as terminating: the first failed probe makes it permanently unready.
func (p *serviceProxy) terminate(b *backend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.terminating = true
}

// remove deletes a replica.
func (p *serviceProxy) remove(b *backend) {
	b.stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.backends, b)
}

// ready reports whether a replica receives new connections.
func (p *serviceProxy) ready(b *backend) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return b.ready
}

func (p *serviceProxy) probeUntilDone(ctx context.Context, b *backend) {
	ticker := time.NewTicker(time.Duration(p.probe.PeriodSeconds) * time.Second)
	defer ticker.Stop()
	for {
		err := get(ctx, p.client, "https://"+loopback(b.port)+p.probe.HTTPGet.Path)
		p.mu.Lock()
		if err == nil {
			b.failures = 0
			b.ready = !b.terminating
		} else if b.failures++; b.terminating || b.failures >= int(p.probe.FailureThreshold) {
			b.ready = false
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// pick returns the port of a random ready replica, or 0 if there is none.
func (p *serviceProxy) pick() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ports []int
	if p.endpoints != nil {
		ports = p.endpoints()
	}
	for b := range p.backends {
		if b.ready {
			ports = append(ports, b.port)
		}
	}
	if len(ports) == 0 {
		return 0
	}
	return ports[rand.IntN(len(ports))]
}

// follow makes the proxy forward to these local ports, without a probe.
func (p *serviceProxy) follow(endpoints func() []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoints = endpoints
}

// close stops the proxy and closes all connections.
func (p *serviceProxy) close() {
	p.listener.Close()
	p.mu.Lock()
	for b := range p.backends {
		b.stop()
	}
	for conn := range p.conns {
		conn.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.running.Wait()
}
