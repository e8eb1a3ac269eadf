package framework

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// Replica is one of several Batchgates behind the Service.
type Replica struct {
	*Process

	port    int
	backend *backend
	// ended gets what the end of a replica that was asked to end came to.
	ended chan error
}

// InstallReplicas is Install with a number of replicas behind a Balancer in place of the one in
// c.Batchgate.
func (c *Cluster) InstallReplicas(ctx context.Context, count int) error {
	if err := c.prepareBatchgate(ctx, c.signServing); err != nil {
		return err
	}
	var err error
	if c.Balancer, err = newBalancer(*c.deployment.Spec.Template.Spec.Containers[0].ReadinessProbe); err != nil {
		return err
	}
	c.batchgatePort = c.Balancer.Port
	for range count {
		if _, err := c.StartReplica(ctx); err != nil {
			return err
		}
	}
	return c.ServePolicies(ctx)
}

// baseDeployment reads that of artifacts/base.
func baseDeployment() (*appsv1.Deployment, error) {
	content, err := readFile("artifacts", "base", "deployment.yaml")
	if err != nil {
		return nil, err
	}
	deployment := &appsv1.Deployment{}
	return deployment, yaml.UnmarshalStrict(content, deployment)
}

// StartReplica starts a further replica, and waits until it gets connections.
func (c *Cluster) StartReplica(ctx context.Context) (*Replica, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	c.replicasStarted++
	name := fmt.Sprintf("batchgate-apiserver-%d", c.replicasStarted)
	args := append(c.batchgateArgs(port), "--audit-log-path="+filepath.Join(c.Dir, name+"-audit.jsonl"))
	r := &Replica{Process: c.process(name, c.binaries.Batchgate, args), port: port}
	r.graceful = true
	r.grace = time.Duration(*c.deployment.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	c.Replicas = append(c.Replicas, r)
	return r, c.RestartReplica(ctx, r)
}

// RestartReplica starts a replica that has ended, and waits until it gets connections.
func (c *Cluster) RestartReplica(ctx context.Context, r *Replica) error {
	if err := r.Start(); err != nil {
		return err
	}
	if r.backend == nil {
		r.backend = c.Balancer.add(r.port)
	}
	return r.waitUntil(ctx, "ready", func(context.Context) bool { return c.Balancer.ready(r.backend) })
}

// TerminateReplica asks a replica to end, as deleting its Pod does, and does not wait for it.
func (c *Cluster) TerminateReplica(r *Replica) {
	c.Balancer.terminate(r.backend)
	c.Replicas = slices.DeleteFunc(slices.Clone(c.Replicas), func(other *Replica) bool { return other == r })
	r.ended = make(chan error, 1)
	go func() {
		err := r.Stop()
		c.Balancer.remove(r.backend)
		r.ended <- err
	}()
}

// AwaitEnd waits until a replica that was asked to end has ended, which is an error where it
// had to be killed after the grace period.
func (r *Replica) AwaitEnd() error { return <-r.ended }

// Ready reports whether a replica gets connections from the Balancer.
func (c *Cluster) Ready(r *Replica) bool { return c.Balancer.ready(r.backend) }

// ReplicaConfig returns the admin's way to a replica, past kube-apiserver and the Balancer.
func (c *Cluster) ReplicaConfig(r *Replica) *rest.Config {
	config := c.DirectConfig()
	config.Host = "https://" + loopback(r.port)
	return config
}

// stopReplicas ends all replicas at once. How they end in order is for tests that ask them to;
// here nobody waits for a delay that is for others to notice.
func (c *Cluster) stopReplicas() error {
	var errs []error
	for _, r := range c.Replicas {
		errs = append(errs, r.Kill())
	}
	if c.Balancer != nil {
		c.Balancer.close()
	}
	return errors.Join(errs...)
}
