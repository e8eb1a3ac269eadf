// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"net/http"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// The addresses of the two servers of SetKubeAPIServers.
const (
	FirstKubeAPIServer  = "10.0.0.1:6443"
	SecondKubeAPIServer = "10.0.0.2:6443"
)

// SetKubeAPIServers registers two kube-apiservers as the endpoints of Service kubernetes. connect
// returns the server at an address.
func (c *Cluster) SetKubeAPIServers(connect func(address string) (cluster.Server, error)) error {
	c.ConnectTo = func(address string) (cluster.Server, func(), error) {
		s, err := connect(address)
		return s, func() {}, err
	}
	return c.KubeAPIServer.Tracker().Add(&discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}, {Addresses: []string{"10.0.0.2"}}},
		Ports:      []discoveryv1.EndpointPort{{Port: ptr.To[int32](6443)}},
	})
}

// CutOff returns a kube-apiserver that cannot reach Batchgate. Until batch/v1 is taken over, it
// serves Jobs itself.
func (c *Cluster) CutOff() cluster.Server {
	if !c.TakenOver() {
		return c.KubeAPIServer
	}
	return cutOff{c.KubeAPIServer}
}

type cutOff struct{ *Server }

func (s cutOff) Read(ctx context.Context, path string, opts cluster.ReadOptions) ([]byte, error) {
	if strings.HasPrefix(path, "/apis/batch/v1/") {
		return nil, apierrors.NewServiceUnavailable("error trying to reach service: no route to host")
	}
	return s.Server.Read(ctx, path, opts)
}

func (s cutOff) BatchV1() batchv1client.BatchV1Interface {
	clientset := kubefake.NewSimpleClientset()
	clientset.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("error trying to reach service: no route to host")
	})
	return clientset.BatchV1()
}

// Outdated returns a kube-apiserver that never notices that v1.batch changes. It returns the current
// v1.batch, but handles requests for Jobs as it did when Outdated was called.
func (c *Cluster) Outdated() cluster.Server {
	return outdated{c.KubeAPIServer, c.KubeAPIServer.header()}
}

type outdated struct {
	*Server
	header http.Header
}

func (s outdated) Read(ctx context.Context, path string, opts cluster.ReadOptions) ([]byte, error) {
	body, err := s.Server.Read(ctx, path, opts)
	if opts.Header != nil {
		*opts.Header = s.header
	}
	return body, err
}
