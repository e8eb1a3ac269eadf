// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// spanCollector collects spans over OTLP/gRPC.
type spanCollector struct {
	collector.UnimplementedTraceServiceServer
	lock sync.Mutex
	all  []*tracev1.Span
}

// Export implements collector.TraceServiceServer.
func (s *spanCollector) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			s.all = append(s.all, scope.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// startSpanCollector returns the collector and its address.
func startSpanCollector(t *testing.T) (*spanCollector, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := &spanCollector{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	go func() { _ = server.Serve(listener) }() // ends with an error when the test stops it
	t.Cleanup(server.Stop)
	return s, listener.Addr().String()
}

// withName returns the spans with that name, or an error if there is none.
func (s *spanCollector) withName(name string) (found []*tracev1.Span, err error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	var others []string
	for _, span := range s.all {
		if span.Name == name {
			found = append(found, span)
		} else {
			others = append(others, span.Name)
		}
	}
	if len(found) == 0 {
		err = fmt.Errorf("no span is named %q; others are %q", name, others)
	}
	return found, err
}

// traces returns the IDs of the traces.
func (s *spanCollector) traces() []string {
	s.lock.Lock()
	defer s.lock.Unlock()
	var ids []string
	for _, span := range s.all {
		ids = append(ids, hex.EncodeToString(span.TraceId))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// With a sampling rate of 0, the server traces only requests that ask for it. kube-apiserver asks
// for it in the proxied requests that it traces itself.
func TestPatchTracedFromClientToEtcd(t *testing.T) {
	t.Parallel()
	collected, endpoint := startSpanCollector(t)
	file := filepath.Join(t.TempDir(), "tracing.yaml")
	config := fmt.Sprintf("apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nendpoint: %s\n", endpoint)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startClusterProcess(t, "--tracing-config-file="+file)
	p.admin.create(t, "default", newJob(t))

	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	traced := http.Header{"Traceparent": {"00-" + trace + "-" + parent + "-01"}}
	patch := request{
		method: http.MethodPatch, path: jobPath("default", "pi"), contentType: mergePatch,
		body: []byte(`{"metadata":{"labels":{"team":"green"}}}`), header: traced,
	}
	if resp := p.admin.do(t, patch); resp.code != http.StatusOK {
		t.Fatalf("patch got status %d: %s", resp.code, resp.body)
	}
	// A user outside system:masters must not add spans to another user's trace.
	stranger, err := p.newUser("stranger")
	if err != nil {
		t.Fatal(err)
	}
	stranger.do(t, patch)

	const served = "PATCH /apis/batch/v1/namespaces/{:namespace}/jobs/{:name}"
	for _, name := range []string{served, "etcdserverpb.KV/Txn"} {
		eventually(t, "export the spans of the patch", func(context.Context) error {
			_, err := collected.withName(name)
			return err
		})
	}
	// The server exports the remaining spans before it exits.
	if code := p.terminate(t); code != 0 {
		t.Errorf("server exited with code %d", code)
	}
	if got := collected.traces(); len(got) != 1 || got[0] != trace {
		t.Errorf("got traces %q, want only %q", got, trace)
	}
	requests, _ := collected.withName(served)
	if len(requests) != 1 {
		t.Fatalf("got %d spans of patches, want 1", len(requests))
	}
	if got := hex.EncodeToString(requests[0].ParentSpanId); got != parent {
		t.Errorf("parent of the request's span is %s, want the client's span %s", got, parent)
	}
}
