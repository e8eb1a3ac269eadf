// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// ErrNotNative is returned if kube-apiserver cannot serve Jobs itself, because it runs with
// --runtime-config=batch/v1=false.
var ErrNotNative = errors.New("kube-apiserver does not serve batch/v1 itself, because it runs with --runtime-config=batch/v1=false")

const openAPIPath = "/openapi/v3"

// VerifyNative returns ErrNotNative if kube-apiserver does not serve batch/v1 when nobody has taken
// it over. It reads the list of its OpenAPI documents. Several kube-apiservers should have the same
// flags, so it asks one.
func (c *Cluster) VerifyNative(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	content, err := c.Kube.Read(ctx, openAPIPath, ReadOptions{Accept: "application/json"})
	if err != nil {
		return fmt.Errorf("reading the OpenAPI documents of kube-apiserver: %w", err)
	}
	var list struct {
		Paths map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(content, &list); err != nil {
		return fmt.Errorf("reading the OpenAPI documents of kube-apiserver: %w", err)
	}
	if _, found := list.Paths[policy.NativeBatchDocument]; !found {
		return ErrNotNative
	}
	return nil
}

// ErrNoServer is returned if no server serves batch/v1.
var ErrNoServer = fmt.Errorf("%w, and %s does not point to Batchgate: run %s, or restart kube-apiserver without that flag", ErrNotNative, policy.BatchAPIService, TakeoverCommand)
