// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"os"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// connection is a direct connection to Batchgate, opened on first use.
type connection struct {
	*settings
	cluster   *cluster.Cluster
	batchgate *cluster.Batchgate
	forward   *cluster.Forward
}

func (s *settings) connection(c *cluster.Cluster) *connection {
	conn := &connection{settings: s, cluster: c}
	conn.batchgate = &cluster.Batchgate{Service: s.service, Dial: func(ctx context.Context) (*cluster.Direct, error) {
		return s.dial(ctx, conn)
	}}
	if s.server == "" {
		conn.batchgate.DialAll = func(ctx context.Context) ([]*cluster.Direct, func(), error) { return s.dialAll(ctx, conn) }
	}
	return conn
}

// readCA reads the CA bundle from the file, or from the cluster if caFile is empty.
func (c *connection) readCA(ctx context.Context, caFile string) error {
	var err error
	if caFile == "" {
		c.batchgate.CABundle, err = c.cluster.KnownCABundle(ctx, c.service)
	} else if c.batchgate.CABundle, err = os.ReadFile(caFile); err != nil {
		err = fmt.Errorf("reading --ca-file: %w", err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	return nil
}

// dial connects to --batchgate-server, or to a Pod through a forwarded port.
func dial(ctx context.Context, c *connection) (*cluster.Direct, error) {
	address := c.server
	if address == "" {
		forward, err := c.cluster.ForwardPort(ctx, c.service)
		if err != nil {
			return nil, fmt.Errorf("%w; if Batchgate does not run in a Pod, set its address with --batchgate-server", err)
		}
		c.forward = forward
		address = forward.Address
	}
	return c.cluster.Connect(ctx, address, c.service, c.batchgate.CABundle)
}

// dialAll connects to every ready Pod.
func dialAll(ctx context.Context, c *connection) ([]*cluster.Direct, func(), error) {
	return c.cluster.ConnectReplicas(ctx, c.service, c.batchgate.CABundle)
}

// checkReplicas checks the certificate of --batchgate-server, or of all Pods.
func checkReplicas(ctx context.Context, s *settings, c *cluster.Cluster, caBundle []byte) (int, error) {
	if s.server == "" {
		return c.CheckReplicas(ctx, s.service, caBundle)
	}
	_, err := c.Connect(ctx, s.server, s.service, caBundle)
	return 1, err
}

func (c *connection) close() {
	if c.forward != nil {
		c.forward.Close()
	}
}
