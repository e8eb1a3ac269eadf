// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"encoding/json"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/kube-openapi/pkg/handler3"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// NativeBatch polls whether kube-apiserver can serve batch/v1 itself. It cannot if it has the flag
// --runtime-config=batch/v1=false.
type NativeBatch struct {
	client   rest.Interface
	disabled atomic.Bool
	failing  bool
}

// NewNativeBatch returns a NativeBatch that reports batch/v1 as enabled until a poll succeeds.
func NewNativeBatch(client rest.Interface) *NativeBatch { return &NativeBatch{client: client} }

// ApplyTo makes the server poll.
func (n *NativeBatch) ApplyTo(generic *genericapiserver.Config) error {
	return generic.AddPostStartHook("batchgate-native-batch", func(hook genericapiserver.PostStartHookContext) error {
		go wait.UntilWithContext(hook, n.poll, pollInterval)
		return nil
	})
}

// Disabled reports whether kube-apiserver had no batch/v1 of its own when it last responded.
func (n *NativeBatch) Disabled() bool { return n.disabled.Load() }

// poll must not be called concurrently. It lists OpenAPI documents, which kube-apiserver does from
// memory.
func (n *NativeBatch) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var documents handler3.OpenAPIV3Discovery
	body, err := n.client.Get().AbsPath("/openapi/v3").Do(ctx).Raw()
	if err == nil {
		err = json.Unmarshal(body, &documents)
	}
	if err != nil && !n.failing {
		klog.FromContext(ctx).Error(err, "Failed to list the OpenAPI documents of kube-apiserver, will retry", "after", pollInterval)
	}
	n.failing = err != nil
	if err == nil {
		_, enabled := documents.Paths[policy.NativeBatchDocument]
		n.disabled.Store(!enabled)
	}
}
