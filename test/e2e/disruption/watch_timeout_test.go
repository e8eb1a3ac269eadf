// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/batchgate/batchgate/pkg/pki"
)

// limitControllerWatches restarts kube-controller-manager behind a proxy, so that its watches end
// after this time instead of 5 to 10 minutes.
//
// No flag can do this. client-go has a fixed minimum of 5 minutes and sends the timeout with each
// watch, and kube-apiserver uses --min-request-timeout only for watches without one. The proxy
// changes nothing but the timeoutSeconds parameter: kube-apiserver still ends the watch.
func (s *scenario) limitControllerWatches(timeout time.Duration) {
	s.t.Helper()
	kubeconfig := s.pki("controller-manager.kubeconfig")
	controllerManager, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	proxy := s.startProxy(controllerManager, timeout)
	raw, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, cluster := range raw.Clusters {
		cluster.Server = proxy
	}
	if err := clientcmd.WriteToFile(*raw, kubeconfig); err != nil {
		s.t.Fatal(err)
	}
	s.restartControllerManager()
}

// startProxy starts a proxy in front of kube-apiserver that sets the timeout of watches, and returns
// its URL. The proxy sends requests with a token as they are. For others it uses the client's
// certificate, since it terminates TLS.
func (s *scenario) startProxy(client *rest.Config, timeout time.Duration) string {
	s.t.Helper()
	withCertificate, err := rest.TransportFor(client)
	if err != nil {
		s.t.Fatal(err)
	}
	withoutCertificate, err := rest.TransportFor(rest.AnonymousClientConfig(client))
	if err != nil {
		s.t.Fatal(err)
	}
	target, err := url.Parse(client.Host)
	if err != nil {
		s.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			setWatchTimeout(r.Out.URL, timeout)
		},
		Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") != "" {
				return withoutCertificate.RoundTrip(r)
			}
			return withCertificate.RoundTrip(r)
		}),
		FlushInterval: -1,
		// Clients that disconnect are not worth a line in the test's output.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	ca, err := pki.LoadOrCreate(s.pki("ca.crt"), s.pki("ca.key"), "")
	if err != nil {
		s.t.Fatal(err)
	}
	cert, key, err := ca.Sign(x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		s.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		s.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: proxy, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}, ErrorLog: proxy.ErrorLog}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	s.t.Cleanup(func() { server.Close() })
	return "https://" + listener.Addr().String()
}

// setWatchTimeout changes the URL of a watch. It does not change other URLs.
func setWatchTimeout(u *url.URL, timeout time.Duration) {
	query := u.Query()
	if !query.Has("watch") {
		return
	}
	query.Set("timeoutSeconds", strconv.Itoa(int(timeout.Seconds())))
	u.RawQuery = query.Encode()
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
