// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"

	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// statusNew is the response at membersPath of a member without data, which is not running etcd yet.
// etcd itself never responds with it.
const statusNew = http.StatusNoContent

// announceNew tells the other members that this member has no data, until stop is called.
func (m *Members) announceNew() (stop func(), err error) {
	if len(m.ListenURLs) == 0 {
		return nil, errors.New("--listen-peer-urls is required: set it to the value of etcd's flag")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+membersPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(statusNew) })
	server := &http.Server{
		Handler:     mux,
		ReadTimeout: requestTimeout,
		ErrorLog:    log.New(io.Discard, "", 0), // like etcd, which does not log errors of clients either
	}
	for _, listenURL := range m.ListenURLs {
		listener, err := m.listen(listenURL)
		if err != nil {
			_ = server.Close()
			return nil, err
		}
		go func() { _ = server.Serve(listener) }() // returns after Close
	}
	return func() { _ = server.Close() }, nil
}

// listen listens at a URL as etcd does, so that it accepts the same peers.
func (m *Members) listen(listenURL string) (net.Listener, error) {
	target, err := url.Parse(listenURL)
	if err != nil {
		return nil, err
	}
	info := m.tlsInfo()
	return transport.NewListener(target.Host, target.Scheme, &info)
}
