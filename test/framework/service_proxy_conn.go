// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"io"
	"net"
	"sync"
)

func (p *serviceProxy) serve() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.forward(conn) })
	}
}

// forward connects a client to a ready replica until both have closed the connection.
func (p *serviceProxy) forward(client net.Conn) {
	defer client.Close()
	picked := p.pick()
	if picked == 0 {
		return
	}
	server, err := net.Dial("tcp", loopback(picked))
	if err != nil {
		return
	}
	defer server.Close()
	if !p.track(client, server) {
		return
	}
	defer p.untrack(client, server)
	var requests sync.WaitGroup
	requests.Go(func() { copyConn(server, client) })
	copyConn(client, server)
	requests.Wait()
}

// copyConn copies until the end of from, then closes the write side of to. An error closes
// both connections.
func copyConn(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	_ = to.(*net.TCPConn).CloseWrite() // fails if the peer has closed the connection
}

// track registers connections that close must close. It returns false if the proxy is closed.
func (p *serviceProxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.conns == nil {
			return false
		}
		p.conns[conn] = struct{}{}
	}
	return true
}

func (p *serviceProxy) untrack(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
	}
}
