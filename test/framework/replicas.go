// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/client-go/rest"
)

// Replica is one of several replicas of Batchgate behind the Service.
type Replica struct {
	*Process

	port    int
	backend *backend
	// stopped receives the result of Stop after TerminateReplica.
	stopped chan error
}

// InstallReplicas is Install with several replicas behind a proxy, in place of c.Batchgate.
func (c *Cluster) InstallReplicas(ctx context.Context, count int) error {
	if err := c.prepareBatchgate(ctx, c.signServingCertificate); err != nil {
		return err
	}
	var err error
	if c.proxy, err = newServiceProxy(*c.deployment.Spec.Template.Spec.Containers[0].ReadinessProbe); err != nil {
		return err
	}
	c.batchgatePort = c.proxy.port
	for range count {
		if _, err := c.StartReplica(ctx); err != nil {
			return err
		}
	}
	return c.RegisterPolicyAPI(ctx)
}

// StartReplica adds a replica and waits until it is ready.
func (c *Cluster) StartReplica(ctx context.Context) (*Replica, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	c.replicasStarted++
	name := fmt.Sprintf("batchgate-apiserver-%d", c.replicasStarted)
	args := append(c.batchgateArgs(port), "--audit-log-path="+filepath.Join(c.Dir, name+"-audit.jsonl"))
	r := &Replica{Process: c.process(name, c.binaries.Batchgate, args), port: port}
	r.exitsZero = true
	r.gracePeriod = time.Duration(*c.deployment.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	c.Replicas = append(c.Replicas, r)
	return r, c.RestartReplica(ctx, r)
}

// RestartReplica starts a stopped replica and waits until it is ready.
func (c *Cluster) RestartReplica(ctx context.Context, r *Replica) error {
	if err := r.Start(); err != nil {
		return err
	}
	if r.backend == nil {
		r.backend = c.proxy.add(r.port)
	}
	return r.waitUntil(ctx, "ready", func(context.Context) bool { return c.ReplicaReady(r) })
}

// TerminateReplica stops a replica as the deletion of its Pod does. It does not wait; see
// WaitForExit.
func (c *Cluster) TerminateReplica(r *Replica) {
	c.proxy.terminate(r.backend)
	c.Replicas = slices.DeleteFunc(slices.Clone(c.Replicas), func(other *Replica) bool { return other == r })
	r.stopped = make(chan error, 1)
	go func() {
		err := r.Stop()
		c.proxy.remove(r.backend)
		r.stopped <- err
	}()
}

// WaitForExit waits for the exit of a replica after TerminateReplica. It returns an error if the
// replica had to be killed after the grace period.
func (r *Replica) WaitForExit() error { return <-r.stopped }

// ReplicaReady reports whether a replica receives new connections.
func (c *Cluster) ReplicaReady(r *Replica) bool { return c.proxy.ready(r.backend) }

// ReplicaConfig returns an admin's configuration that connects to a replica without the proxy
// of kube-apiserver and the Service.
func (c *Cluster) ReplicaConfig(r *Replica) *rest.Config {
	config := c.DirectConfig()
	config.Host = "https://" + loopback(r.port)
	return config
}

// stopReplicas kills all replicas. A test that checks the graceful stop of a replica uses
// TerminateReplica; here the shutdown delay would only cost time.
func (c *Cluster) stopReplicas() error {
	var errs []error
	for _, r := range c.Replicas {
		errs = append(errs, r.Kill())
	}
	if c.proxy != nil {
		c.proxy.close()
	}
	return errors.Join(errs...)
}
