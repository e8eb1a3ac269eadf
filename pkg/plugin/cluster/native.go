// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// ErrNotNative is returned if kube-apiserver cannot serve Jobs itself, because it runs with
// --runtime-config=batch/v1=false.
var ErrNotNative = errors.New("kube-apiserver does not serve batch/v1 itself, because it runs with --runtime-config=batch/v1=false")

const openAPIPath = "/openapi/v3"

// VerifyNative returns ErrNotNative if batch/v1 is disabled in the kube-apiserver of the kubeconfig, so
// that it cannot serve Jobs after a rollback.
func (c *Cluster) VerifyNative(ctx context.Context) error { return verifyNative(ctx, c.Kube) }

// VerifyEveryNative returns ErrNotNative if batch/v1 is disabled in any kube-apiserver. It ignores those that
// do not respond quickly, because a rollback should not wait for them.
func (c *Cluster) VerifyEveryNative(ctx context.Context) error {
	if err := c.VerifyNative(ctx); err != nil {
		return err
	}
	if found := c.FindNative(ctx); len(found.Disabled) > 0 {
		return fmt.Errorf("%w: %s", ErrNotNative, found)
	}
	return nil
}

// verifyNative reads the list of a kube-apiserver's OpenAPI documents.
func verifyNative(ctx context.Context, kube Server) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	content, err := kube.Read(ctx, openAPIPath, ReadOptions{Accept: "application/json"})
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

// askTimeout bounds the request that finds out whether batch/v1 is enabled in one kube-apiserver.
const askTimeout = time.Second

// NativeServers says in which kube-apiservers batch/v1 is enabled, so that they can serve it themselves.
type NativeServers struct {
	// Enabled and Disabled are addresses (host:port) or KubeconfigServer. Disabled ones run with
	// --runtime-config=batch/v1=false. Unknown maps the others to the reason why nothing is known about them.
	// Its key is "others" if their addresses are unknown.
	Enabled, Disabled []string
	Unknown           map[string]error
}

// FindNative asks, at the same time, each kube-apiserver that Service kubernetes lists, and one over a new
// connection to the address of the kubeconfig. The result has the latter only if it adds something.
func (c *Cluster) FindNative(ctx context.Context) *NativeServers {
	found := &NativeServers{Unknown: map[string]error{}}
	addresses, err := c.kubeAPIServers(ctx)
	if err != nil {
		found.Unknown["others"] = err
	} else if len(addresses) == 0 {
		found.Unknown["others"] = fmt.Errorf("Service %s lists none", kubernetesService)
	}
	answers := make([]error, len(addresses)+1)
	ask := func(i int, connect func() (Server, func(), error)) {
		kube, closeConnection, err := connect()
		if err != nil {
			answers[i] = err
			return
		}
		defer closeConnection()
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		answers[i] = verifyNative(ctx, kube)
	}
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { ask(i, func() (Server, func(), error) { return c.ConnectTo(address) }) })
	}
	asking.Go(func() { ask(len(addresses), c.NewConnection) })
	asking.Wait()
	for i, name := range append(addresses, KubeconfigServer) {
		err := answers[i]
		list := &found.Enabled
		if errors.Is(err, ErrNotNative) {
			list = &found.Disabled
		}
		switch {
		case err != nil && list == &found.Enabled:
			found.Unknown[name] = err
		case i < len(addresses) || len(*list) == 0:
			*list = append(*list, name)
		}
	}
	return found
}

// Exclusive reports whether all kube-apiservers run with --runtime-config=batch/v1=false.
func (n *NativeServers) Exclusive() bool {
	return len(n.Disabled) > 0 && len(n.Enabled)+len(n.Unknown) == 0
}

// String lists the servers.
func (n *NativeServers) String() string {
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(n.Unknown)) {
		unknown = append(unknown, fmt.Sprintf("%s (%v)", name, n.Unknown[name]))
	}
	var parts []string
	for _, part := range []struct {
		text    string
		servers []string
	}{
		{"with --runtime-config=batch/v1=false", n.Disabled},
		{"without that flag", n.Enabled},
		{"not checked", unknown},
	} {
		if len(part.servers) > 0 {
			parts = append(parts, part.text+": "+strings.Join(part.servers, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// ErrNoServer is returned if no server serves batch/v1.
var ErrNoServer = fmt.Errorf("%w, and %s does not point to Batchgate: run %s, or restart kube-apiserver without that flag", ErrNotNative, policy.BatchAPIService, TakeoverCommand)
