// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// ErrNotNative is returned if kube-apiserver cannot serve Jobs itself, because it runs with
// --runtime-config=batch/v1=false.
var ErrNotNative = errors.New("kube-apiserver does not serve batch/v1 itself, because it runs with --runtime-config=batch/v1=false")

const openAPIPath = "/openapi/v3"

// VerifyNative returns ErrNotNative if kube-apiserver does not serve batch/v1 when nobody has taken
// it over. It asks the server of the kubeconfig.
func (c *Cluster) VerifyNative(ctx context.Context) error { return verifyNative(ctx, c.Kube) }

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

// NativeServers says which kube-apiservers serve batch/v1 when nobody has taken it over.
type NativeServers struct {
	// Enabled serve it. Disabled run with --runtime-config=batch/v1=false.
	Enabled, Disabled []string
	// Unknown could not be asked. Each has the reason in parentheses.
	Unknown []string
}

// FindNative asks every kube-apiserver that can be found. The server of the kubeconfig is asked only if
// no other one responds. Those in before, which have responded earlier, count as Unknown if Service
// kubernetes no longer lists them.
func (c *Cluster) FindNative(ctx context.Context, before *NativeServers) *NativeServers {
	found := &NativeServers{}
	add := func(name string, kube Server) {
		switch err := verifyNative(ctx, kube); {
		case err == nil:
			found.Enabled = append(found.Enabled, name)
		case errors.Is(err, ErrNotNative):
			found.Disabled = append(found.Disabled, name)
		default:
			found.Unknown = append(found.Unknown, fmt.Sprintf("%s (%v)", name, err))
		}
	}
	listed := c.findEndpoints(ctx, &endpoints{})
	found.Unknown = listed.others
	for _, address := range listed.reachable {
		_ = c.withConnection(address, func(kube Server) error {
			add(address, kube)
			return nil
		})
	}
	if len(listed.reachable) == 0 {
		add(kubeconfigServer, c.Kube)
		if len(listed.others) == 0 {
			found.Unknown = append(found.Unknown, fmt.Sprintf("others behind its address (Service %s lists none)", kubernetesService))
		}
	}
	for _, name := range slices.Concat(before.Enabled, before.Disabled) {
		if name != kubeconfigServer && !strings.Contains(strings.Join(slices.Concat(found.Enabled, found.Disabled, found.Unknown), " "), name) {
			found.Unknown = append(found.Unknown, name+" (it was listed earlier)")
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
	var parts []string
	for _, part := range []struct {
		text    string
		servers []string
	}{
		{"with --runtime-config=batch/v1=false", n.Disabled},
		{"without that flag", n.Enabled},
		{"not checked", n.Unknown},
	} {
		if len(part.servers) > 0 {
			parts = append(parts, part.text+": "+strings.Join(part.servers, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// ErrNoServer is returned if no server serves batch/v1.
var ErrNoServer = fmt.Errorf("%w, and %s does not point to Batchgate: run %s, or restart kube-apiserver without that flag", ErrNotNative, policy.BatchAPIService, TakeoverCommand)
