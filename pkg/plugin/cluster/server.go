// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

const (
	connectTimeout = 10 * time.Second
	// probeTimeout bounds requests to which a healthy server responds quickly.
	probeTimeout = 30 * time.Second
)

// Server is a client of one API server: kube-apiserver, or a replica of Batchgate.
type Server interface {
	kubernetes.Interface
	// Read returns the body of a GET request. It is for requests that the typed clients have no
	// method for.
	Read(ctx context.Context, path string, opts ReadOptions) ([]byte, error)
}

// ReadOptions are the optional parts of a GET request.
type ReadOptions struct {
	Accept string
	Query  url.Values
	// Header, if set, receives the header of the response.
	Header *http.Header
}

type server struct{ kubernetes.Interface }

func newServer(config *rest.Config) (Server, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return server{client}, nil
}

func (s server) Read(ctx context.Context, path string, opts ReadOptions) ([]byte, error) {
	// The discovery client would end each request after 32 seconds.
	request := s.CoreV1().RESTClient().Get().AbsPath(path)
	for name, values := range opts.Query {
		for _, value := range values {
			request = request.Param(name, value)
		}
	}
	if opts.Accept != "" {
		request = request.SetHeader("Accept", opts.Accept)
	}
	if opts.Header != nil {
		ctx = context.WithValue(ctx, headerKey{}, opts.Header)
	}
	result := request.Do(ctx)
	// The error of Raw lacks the reason and message of the server's Status.
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}

// headerKey is the context key of a *http.Header that receives the header of a response.
type headerKey struct{}

// headerRecorder makes the header of responses available, which rest.Request does not do.
type headerRecorder struct{ http.RoundTripper }

var _ utilnet.RoundTripperWrapper = headerRecorder{}

func (r headerRecorder) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.RoundTripper.RoundTrip(request)
	if header, ok := request.Context().Value(headerKey{}).(*http.Header); ok && err == nil {
		*header = response.Header
	}
	return response, err
}

// WrappedRoundTripper returns the transport, so that its connections can be closed.
func (r headerRecorder) WrappedRoundTripper() http.RoundTripper { return r.RoundTripper }

// AnsweredBy returns the version of the Batchgate that answers a list of Jobs through this server. It
// is empty if kube-apiserver answers itself.
func AnsweredBy(ctx context.Context, s Server) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, serveTimeout)
	defer cancel()
	var header http.Header
	if _, err := s.Read(ctx, BatchPath("jobs"), ReadOptions{Accept: "application/json", Query: url.Values{"limit": {"1"}}, Header: &header}); err != nil {
		return "", fmt.Errorf("listing Jobs: %w", err)
	}
	return header.Get(policy.VersionHeader), nil
}

// CheckReady fails if the server is not ready.
func CheckReady(ctx context.Context, s Server) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err := s.Read(ctx, "/readyz", ReadOptions{})
	return err
}

// Direct is a connection to Batchgate that bypasses kube-apiserver.
type Direct struct {
	Server
	// Certificate is the serving certificate.
	Certificate *x509.Certificate
}

// Connect connects to Batchgate at address (host:port) with the user's own credentials. It
// verifies the serving certificate as kube-apiserver does: the certificate must name the Service
// and be signed by the CA. No other server receives the credentials.
func (c *Cluster) Connect(ctx context.Context, address string, service Service, caBundle []byte) (*Direct, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caBundle) {
		return nil, errors.New("the CA bundle has no certificate in PEM: set it to the CA of the serving certificate")
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: service.dnsName()}}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to Batchgate at %s as %s: %w", address, service.dnsName(), err)
	}
	defer conn.Close()
	certificate := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]

	config := rest.CopyConfig(c.config)
	config.Host = (&url.URL{Scheme: "https", Host: address}).String()
	config.APIPath = ""
	config.Proxy = nil
	config.TLSClientConfig.Insecure = false
	config.TLSClientConfig.CAFile = ""
	config.TLSClientConfig.CAData = caBundle
	config.TLSClientConfig.ServerName = service.dnsName()
	client, err := newServer(config)
	if err != nil {
		return nil, err
	}
	return &Direct{Server: client, Certificate: certificate}, nil
}

// Batchgate is the Batchgate installation that an operation works with.
type Batchgate struct {
	Service Service
	// CABundle verifies the serving certificate. It is in PEM.
	CABundle []byte
	// Dial connects to a replica directly.
	Dial func(context.Context) (*Direct, error)
	// DialAll connects to every ready replica, and returns a function that closes the
	// connections. If it is nil, there is only the replica of Dial.
	DialAll func(context.Context) ([]*Direct, func(), error)

	direct  *Direct
	dialErr error
}

// ErrNotConnected is returned by checks that need a connection that failed earlier.
var ErrNotConnected = errors.New("the server could not be reached, see above")

// Connect dials once and then returns the same connection.
func (b *Batchgate) Connect(ctx context.Context) (*Direct, error) {
	if b.dialErr != nil {
		return nil, ErrNotConnected
	}
	if b.direct == nil {
		b.direct, b.dialErr = b.Dial(ctx)
	}
	return b.direct, b.dialErr
}

// ConnectAll connects to every ready replica, and returns a function that closes the connections.
func (b *Batchgate) ConnectAll(ctx context.Context) ([]*Direct, func(), error) {
	if b.DialAll != nil {
		return b.DialAll(ctx)
	}
	direct, err := b.Connect(ctx)
	return []*Direct{direct}, func() {}, err
}
