package takeover

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Cluster is what takeover and rollback work on.
type Cluster struct {
	// Kube and Dynamic reach kube-apiserver.
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface
	// Config is that of both.
	Config *rest.Config
}

// NewCluster returns the cluster of a config.
func NewCluster(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	// Pages of Jobs are read one after the other: the client need not slow itself down.
	config.QPS = -1
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Cluster{Kube: kube, Dynamic: client, Config: config}, nil
}

// uid returns that of the namespace kube-system, by which clusters are told apart.
func (c *Cluster) uid(ctx context.Context) (string, error) {
	namespace, err := c.Kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading the cluster's UID: %w", err)
	}
	return string(namespace.UID), nil
}

// Direct is a connection to Batchgate past kube-apiserver.
type Direct struct {
	kubernetes.Interface
	// Certificate is the serving certificate.
	Certificate *x509.Certificate
}

// Connect connects to Batchgate at a host:port with the user's own credentials. The server's
// certificate is verified as kube-apiserver would: it must name the Service, and be signed by
// the CA. So the credentials go to nobody else.
func (c *Cluster) Connect(ctx context.Context, address string, service Service, caBundle []byte) (*Direct, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caBundle) {
		return nil, fmt.Errorf("the CA bundle has no certificate in PEM: give the CA of the serving certificate")
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: service.dnsName()}}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to Batchgate at %s as %s: %w", address, service.dnsName(), err)
	}
	defer conn.Close()
	certificate := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]

	config := rest.CopyConfig(c.Config)
	config.Host = (&url.URL{Scheme: "https", Host: address}).String()
	config.APIPath = ""
	config.Proxy = nil
	config.TLSClientConfig.Insecure = false
	config.TLSClientConfig.CAFile = ""
	config.TLSClientConfig.CAData = caBundle
	config.TLSClientConfig.ServerName = service.dnsName()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Direct{Interface: client, Certificate: certificate}, nil
}
