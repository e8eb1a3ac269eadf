// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"github.com/batchgate/batchgate/pkg/generated/clientset/versioned"
)

// Cluster is a client of one cluster.
type Cluster struct {
	// Kube is a client of kube-apiserver.
	Kube Server
	// APIServices and Policies are clients of kube-apiserver, too.
	APIServices aggregator.Interface
	Policies    versioned.Interface
	// NewConnection returns a client of kube-apiserver that opens a new TCP connection, and a
	// function that closes it. Several kube-apiservers may share one address, so only new
	// connections reach all of them.
	NewConnection func() (Server, func(), error)
	// ConnectTo does the same for the kube-apiserver at an address (host:port).
	ConnectTo func(address string) (Server, func(), error)
	Timing    Timing

	config *rest.Config
}

// Timing holds the waiting times of the operations. Tests shorten them.
type Timing struct {
	// Poll is the interval at which a state is read again.
	Poll time.Duration
	// Settle is how long new connections must see the same state before it counts as the state
	// of every kube-apiserver.
	Settle time.Duration
	// Absence is how long APIService v1.batch stays deleted when discovery is refreshed. All
	// kube-apiservers must notice, which takes milliseconds.
	Absence time.Duration
	// Discovery is how long kube-apiserver may take to refresh discovery.
	Discovery time.Duration
	// Switch is how long all servers may take to see a change of v1.batch, a freeze or a guard.
	Switch time.Duration
}

// DefaultTiming returns the waiting times for real clusters.
func DefaultTiming() Timing {
	return Timing{
		Poll: 250 * time.Millisecond, Settle: 10 * time.Second, Absence: 2 * time.Second,
		Discovery: 5 * time.Second, Switch: 2 * time.Minute,
	}
}

// New returns a client of the cluster that config points to.
func New(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // pages are read one at a time, so no client-side rate limit is needed
	config.Wrap(func(transport http.RoundTripper) http.RoundTripper { return headerRecorder{transport} })
	kube, err := newServer(config)
	if err != nil {
		return nil, err
	}
	apiServices, err := aggregator.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	policies, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Kube: kube, APIServices: apiServices, Policies: policies, Timing: DefaultTiming(), config: config}
	c.NewConnection, c.ConnectTo = c.newConnection, c.connectTo
	return c, nil
}

func (c *Cluster) newConnection() (Server, func(), error) {
	config := rest.CopyConfig(c.config)
	// A custom dialer keeps client-go from reusing a cached transport and its connections.
	config.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, nil, err
	}
	client, err := kubernetes.NewForConfigAndClient(config, transport)
	if err != nil {
		return nil, nil, err
	}
	return server{client}, closeIdle(transport), nil
}

// closeIdle returns a function that closes the connections of a client. The client's own
// CloseIdleConnections ignores wrapped transports.
func closeIdle(client *http.Client) func() {
	return func() { utilnet.CloseIdleConnectionsFor(client.Transport) }
}

// UID returns the UID of namespace kube-system, which identifies the cluster.
func (c *Cluster) UID(ctx context.Context) (string, error) {
	namespace, err := c.Kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading the cluster's UID: %w", err)
	}
	return string(namespace.UID), nil
}
