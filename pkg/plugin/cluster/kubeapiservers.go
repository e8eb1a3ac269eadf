// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

const (
	// endpointTimeout bounds a connection to one kube-apiserver, which may be unreachable from the
	// user's network.
	endpointTimeout = 3 * time.Second
	// serveTimeout bounds one check whether a kube-apiserver serves Jobs.
	serveTimeout = 10 * time.Second
	// nativeSettle is how long new connections must reach kube-apiservers that serve Jobs themselves.
	// Each connection may reach a different one.
	nativeSettle = time.Second
)

// kubeAPIServers returns the addresses (host:port) of the kube-apiservers, which are the endpoints
// of the Service kubernetes.
func (c *Cluster) kubeAPIServers(ctx context.Context) ([]string, error) {
	list, err := c.Kube.DiscoveryV1().EndpointSlices(kubernetesService.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + kubernetesService.Name,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the endpoints of Service %s: %w", kubernetesService, err)
	}
	var found []string
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			for _, port := range slice.Ports {
				if port.Port == nil || len(e.Addresses) == 0 {
					continue
				}
				found = append(found, net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*port.Port))))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// connectTo returns a client of the kube-apiserver at the address, over a new connection. The
// server must have a certificate for the host of the kubeconfig, so that no other server receives
// the user's credentials.
func (c *Cluster) connectTo(address string) (Server, func(), error) {
	target, _, err := rest.DefaultServerUrlFor(c.config)
	switch {
	case err != nil:
		return nil, nil, err
	case target.Scheme != "https" || c.config.Insecure:
		return nil, nil, errors.New("the kubeconfig does not verify the server's certificate")
	case strings.Trim(target.Path, "/") != "":
		return nil, nil, errors.New("the kubeconfig refers to a proxy in front of kube-apiserver")
	}
	config := rest.CopyConfig(c.config)
	config.Host = (&url.URL{Scheme: "https", Host: address}).String()
	if config.ServerName == "" {
		config.ServerName = target.Hostname()
	}
	config.Dial = (&net.Dialer{Timeout: endpointTimeout}).DialContext
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

// endpoints holds the addresses of the kube-apiservers that respond to the user, and describes the
// others.
type endpoints struct {
	reachable, others []string
}

// describe returns text that ends the caller's sentence.
func (e *endpoints) describe() string {
	detail := ""
	if len(e.reachable) > 0 {
		detail += "; checked one by one: " + strings.Join(e.reachable, ", ")
	}
	if len(e.others) > 0 {
		detail += "; not checked one by one: " + strings.Join(e.others, ", ")
	}
	return detail
}

// findEndpoints asks each kube-apiserver that Service kubernetes lists. The user may lack the
// permission to read the list, and some of them may be unreachable from the user's network. A listed
// one that responded before counts as reachable even if it does not respond now, so that its check fails.
func (c *Cluster) findEndpoints(ctx context.Context, before *endpoints) *endpoints {
	found := &endpoints{}
	addresses, err := c.kubeAPIServers(ctx)
	if err != nil {
		found.others = append(found.others, err.Error())
	}
	for _, address := range addresses {
		err := c.withConnection(address, func(kube Server) error {
			ctx, cancel := context.WithTimeout(ctx, endpointTimeout)
			defer cancel()
			_, err := kube.Read(ctx, apiServicePath, ReadOptions{})
			return err
		})
		if err != nil && !slices.Contains(before.reachable, address) {
			found.others = append(found.others, fmt.Sprintf("%s (%v)", address, err))
			continue
		}
		found.reachable = append(found.reachable, address)
	}
	return found
}

// withConnection calls f with a new connection to the address, and closes it.
func (c *Cluster) withConnection(address string, f func(Server) error) error {
	kube, closeConnection, err := c.ConnectTo(address)
	if err != nil {
		return err
	}
	defer closeConnection()
	return f(kube)
}

const apiServicePath = "/apis/apiregistration.k8s.io/v1/apiservices/" + policy.BatchAPIService

// AwaitServed returns a step that waits until every kube-apiserver that can be found has considered
// v1.batch available, and has proxied requests for Jobs to Batchgate, for the settle time. also is a
// further check of each kube-apiserver, and may be nil.
func (c *Cluster) AwaitServed(service Service, timeout time.Duration, also func(context.Context, Server) error) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		found, err := c.AwaitSettled(ctx, c.Timing.Settle, timeout+c.Timing.Settle, func(ctx context.Context, kube Server) error {
			if err := checkServed(ctx, kube, service); err != nil || also == nil {
				return err
			}
			return also(ctx, kube)
		})
		if err != nil {
			return "", fmt.Errorf("waiting for every kube-apiserver to serve Jobs through Batchgate for %s: %w", c.Timing.Settle, err)
		}
		return fmt.Sprintf("new connections have served Jobs for %s%s", c.Timing.Settle, found), nil
	}
}

// checkServed fails unless v1.batch points to the service, the kube-apiserver considers it
// available, and Batchgate answers a request for Jobs.
func checkServed(ctx context.Context, kube Server, service Service) error {
	ctx, cancel := context.WithTimeout(ctx, serveTimeout)
	defer cancel()
	content, err := kube.Read(ctx, apiServicePath, ReadOptions{Accept: "application/json"})
	if err != nil {
		return fmt.Errorf("reading APIService %s: %w", policy.BatchAPIService, err)
	}
	obj := &apiregistrationv1.APIService{}
	if err := json.Unmarshal(content, obj); err != nil {
		return fmt.Errorf("reading APIService %s: %w", policy.BatchAPIService, err)
	}
	a := apiServiceFrom(obj)
	switch {
	case !a.ServedBy(service):
		return Permanent(ServerChanged(a))
	case a.Available != string(metav1.ConditionTrue) || a.Reason == reasonLocal:
		return fmt.Errorf("%s is not available: %s: %s", policy.BatchAPIService, a.Reason, a.Message)
	}
	version, err := AnsweredBy(ctx, kube)
	if err == nil && version == "" {
		err = errNotProxied
	}
	return err
}

// errNotProxied is returned for a kube-apiserver that serves Jobs itself although v1.batch points to
// Batchgate.
var errNotProxied = fmt.Errorf("it serves Jobs itself: its responses do not have the header %s of Batchgate", policy.VersionHeader)

// AwaitEveryNative waits until every kube-apiserver that can be found serves Jobs itself.
func (c *Cluster) AwaitEveryNative(ctx context.Context) (string, error) {
	found, err := c.AwaitSettled(ctx, min(nativeSettle, c.Timing.Settle), c.Timing.Switch, CheckNative)
	if err != nil {
		return "", fmt.Errorf("waiting for every kube-apiserver to serve Jobs itself: %w", err)
	}
	return "they serve Jobs themselves" + found, nil
}

// CheckNative fails unless the kube-apiserver serves Jobs itself.
func CheckNative(ctx context.Context, kube Server) error {
	version, err := AnsweredBy(ctx, kube)
	if err == nil && version != "" {
		err = errors.New("it still proxies requests for Jobs to Batchgate")
	}
	return err
}

// KubeconfigServer names the kube-apiserver at the address of the kubeconfig.
const KubeconfigServer = "the one of the kubeconfig"

// Disagreeing returns the kube-apiservers that serve Jobs themselves although proxied is set, or the
// reverse. It ignores those that do not respond.
func (c *Cluster) Disagreeing(ctx context.Context, proxied bool) []string {
	var found []string
	check := func(name string, kube Server) {
		if version, err := AnsweredBy(ctx, kube); err == nil && (version != "") != proxied {
			found = append(found, name)
		}
	}
	check(KubeconfigServer, c.Kube)
	for _, address := range c.findEndpoints(ctx, &endpoints{}).reachable {
		_ = c.withConnection(address, func(kube Server) error {
			check(address, kube)
			return nil
		})
	}
	return found
}
