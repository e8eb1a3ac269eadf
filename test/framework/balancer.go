package framework

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Balancer is to the replicas behind it what kubelet's readiness probe, the endpoint controller
// and kube-proxy are to the Pods behind a Service. A new connection goes to one of the ready
// replicas, at random. Connections that exist stay where they are, whatever becomes of the
// replica, as kube-proxy leaves them.
type Balancer struct {
	// Port is where it listens on 127.0.0.1.
	Port int

	listener net.Listener
	probe    corev1.Probe
	client   *http.Client
	running  sync.WaitGroup

	mu       sync.Mutex
	backends map[*backend]struct{}
	conns    map[net.Conn]struct{}
}

// backend is what the Balancer knows of a replica.
type backend struct {
	port               int
	ready, terminating bool
	// failures are the probes that have failed since one succeeded.
	failures int
	stop     context.CancelFunc
}

// newBalancer starts a Balancer that probes as the container's readinessProbe says.
func newBalancer(probe corev1.Probe) (*Balancer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return nil, err
	}
	b := &Balancer{
		Port: port, listener: listener, probe: probe,
		backends: map[*backend]struct{}{}, conns: map[net.Conn]struct{}{},
		// kubelet does not verify certificates, and makes a connection for each probe.
		client: &http.Client{
			Timeout:   time.Duration(probe.TimeoutSeconds) * time.Second,
			Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		},
	}
	b.running.Go(b.serve)
	return b, nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// add makes a replica one that may get connections once it is ready.
func (b *Balancer) add(port int) *backend {
	ctx, cancel := context.WithCancel(context.Background())
	added := &backend{port: port, stop: cancel}
	b.mu.Lock()
	b.backends[added] = struct{}{}
	b.mu.Unlock()
	b.running.Go(func() { b.probeUntilDone(ctx, added) })
	return added
}

// terminate says that a replica was asked to end: it gets no more connections from the first
// probe on that fails.
func (b *Balancer) terminate(ending *backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ending.terminating = true
}

// remove forgets a replica.
func (b *Balancer) remove(gone *backend) {
	gone.stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.backends, gone)
}

// ready reports whether a replica gets connections.
func (b *Balancer) ready(asked *backend) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return asked.ready
}

func (b *Balancer) probeUntilDone(ctx context.Context, probed *backend) {
	ticker := time.NewTicker(time.Duration(b.probe.PeriodSeconds) * time.Second)
	defer ticker.Stop()
	for {
		err := b.ask(ctx, probed)
		b.mu.Lock()
		if err == nil {
			probed.failures = 0
			probed.ready = !probed.terminating
		} else if probed.failures++; probed.terminating || probed.failures >= int(b.probe.FailureThreshold) {
			probed.ready = false
		}
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (b *Balancer) ask(ctx context.Context, probed *backend) error {
	url := "https://" + loopback(probed.port) + b.probe.HTTPGet.Path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := b.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

func (b *Balancer) serve() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return // closed
		}
		b.running.Go(func() { b.forward(conn) })
	}
}

// pick returns one of the ready replicas, nil if there is none.
func (b *Balancer) pick() *backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ready []*backend
	for candidate := range b.backends {
		if candidate.ready {
			ready = append(ready, candidate)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	return ready[rand.IntN(len(ready))]
}

// forward passes on what both ends of a connection say until both have ended.
func (b *Balancer) forward(client net.Conn) {
	defer client.Close()
	picked := b.pick()
	if picked == nil {
		return
	}
	server, err := net.Dial("tcp", loopback(picked.port))
	if err != nil {
		return
	}
	defer server.Close()
	if !b.keep(client, server) {
		return
	}
	defer b.forget(client, server)
	var there sync.WaitGroup
	there.Go(func() { pass(server, client) })
	pass(client, server)
	there.Wait()
}

// pass copies until the end of from, and tells to. A broken connection ends both ways.
func pass(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	_ = to.(*net.TCPConn).CloseWrite() // it may have gone
}

// keep takes note of connections that are to be closed with the balancer. It returns false
// where that has happened.
func (b *Balancer) keep(conns ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range conns {
		if b.conns == nil {
			return false
		}
		b.conns[conn] = struct{}{}
	}
	return true
}

func (b *Balancer) forget(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range conns {
		delete(b.conns, conn)
	}
}

// close ends it, and all connections.
func (b *Balancer) close() {
	b.listener.Close()
	b.mu.Lock()
	for backend := range b.backends {
		backend.stop()
	}
	for conn := range b.conns {
		conn.Close()
	}
	b.conns = nil
	b.mu.Unlock()
	b.running.Wait()
}
