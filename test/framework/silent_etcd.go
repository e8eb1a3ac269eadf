// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// apiServicesPrefix is the prefix of the keys of APIServices.
const apiServicesPrefix = "/registry/apiregistration.k8s.io/apiservices/"

// SilentEtcd is a proxy in front of an etcd. While it is silent, a kube-apiserver that uses it reads the
// current APIServices, but does not notice that they change.
type SilentEtcd struct {
	// URL is the client URL.
	URL string

	silent atomic.Bool
	target *grpc.ClientConn
	server *grpc.Server

	mu sync.Mutex
	// connected is canceled when the proxy is cut off.
	connected context.Context
	cutOff    context.CancelFunc
}

// StartSilentEtcd starts a proxy for the first etcd member. It stops after the kube-apiservers.
func (c *Cluster) StartSilentEtcd(t *testing.T) *SilentEtcd {
	t.Helper()
	target, err := grpc.NewClient(strings.TrimPrefix(c.EtcdURL(), "http://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	e := &SilentEtcd{URL: "http://" + listener.Addr().String(), target: target}
	e.CutOff(false)
	e.server = grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(e.forward), grpc.MaxRecvMsgSize(math.MaxInt32))
	go func() { _ = e.server.Serve(listener) }()
	c.silentEtcds = append(c.silentEtcds, e)
	return e
}

func (e *SilentEtcd) stop() error {
	e.server.Stop()
	return e.target.Close()
}

// Silence sets whether watches of APIServices lose new events.
func (e *SilentEtcd) Silence(silent bool) { e.silent.Store(silent) }

// CutOff sets whether all requests fail, including those that are running.
func (e *SilentEtcd) CutOff(cutOff bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if cutOff {
		e.cutOff()
	} else {
		e.connected, e.cutOff = context.WithCancel(context.Background())
	}
}

// forward is a grpc.StreamHandler.
func (e *SilentEtcd) forward(_ any, stream grpc.ServerStream) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	e.mu.Lock()
	stop := context.AfterFunc(e.connected, cancel)
	e.mu.Unlock()
	defer stop()
	method, _ := grpc.MethodFromServerStream(stream)
	header, _ := metadata.FromIncomingContext(ctx)
	client, err := e.target.NewStream(metadata.NewOutgoingContext(ctx, header), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	go func() {
		for {
			var request []byte
			if stream.RecvMsg(&request) != nil || client.SendMsg(&request) != nil {
				_ = client.CloseSend()
				return
			}
		}
	}()
	for {
		var response []byte
		if err := client.RecvMsg(&response); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if e.silent.Load() && method == pb.Watch_Watch_FullMethodName && hasAPIServices(response) {
			continue
		}
		if err := stream.SendMsg(&response); err != nil {
			return err
		}
	}
}

// hasAPIServices reports whether a response to a watch has events of APIServices.
func hasAPIServices(response []byte) bool {
	r := &pb.WatchResponse{}
	return proto.Unmarshal(response, r) == nil && len(r.Events) > 0 && strings.HasPrefix(string(r.Events[0].Kv.Key), apiServicesPrefix)
}

// rawCodec forwards messages unchanged.
type rawCodec struct{}

var _ encoding.Codec = rawCodec{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (rawCodec) Name() string { return "proto" }
