// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// minValidity is how long a serving certificate must still be valid.
const minValidity = 24 * time.Hour

// preflight checks whether Batchgate can serve batch/v1 of the cluster.
type preflight struct {
	cluster   *cluster.Cluster
	batchgate *cluster.Batchgate
	// namespace of the canary.
	namespace string
	// notNative is set by checkCurrentServer if there is no native batch/v1 to compare with.
	notNative bool
}

// Preflight returns the checks that must pass before batch/v1 is pointed to Batchgate. They create
// and delete a Job and a CronJob in the namespace.
func Preflight(c *cluster.Cluster, b *cluster.Batchgate, namespace string) []steps.Step {
	p := &preflight{cluster: c, batchgate: b, namespace: namespace}
	checks := []steps.Step{
		{Name: "permissions", Run: func(ctx context.Context) (string, error) {
			return c.CheckPermissions(ctx, slices.Concat(Permissions(b.Service), WebhookPermissions(), canaryPermissions(namespace)))
		}},
		{Name: "current server", Run: p.checkCurrentServer},
	}
	return append(append(checks, p.serverChecks()...),
		steps.Step{Name: "objects", Run: p.checkObjects},
		WebhookCheck(c, b, namespace),
		steps.Step{Name: "canary", Run: p.checkCanary},
		steps.Step{Name: "replicas", Run: p.checkReplicas},
	)
}

// ServerChecks returns the checks of Batchgate that do not depend on the etcd that it uses.
func ServerChecks(c *cluster.Cluster, b *cluster.Batchgate) []steps.Step {
	p := &preflight{cluster: c, batchgate: b}
	return p.serverChecks()
}

func (p *preflight) serverChecks() []steps.Step {
	return []steps.Step{
		{Name: "service", Run: p.checkService},
		{Name: "server", Run: p.checkServer},
		{Name: "memory", Run: p.compare(cluster.CheckMemory)},
		{Name: "versions", Run: p.checkVersions},
		{Name: "discovery", Run: p.compareBatch(cluster.CompareDiscovery)},
		{Name: "feature gates", Run: p.compare(cluster.CompareFeatureGates)},
		{Name: "schemas", Run: p.compareBatch(cluster.CompareSchemas)},
	}
}

// Permissions returns the permissions that a takeover and its rollback need.
func Permissions(service cluster.Service) []authorizationv1.ResourceAttributes {
	return append(cluster.APIServicePermissions(),
		authorizationv1.ResourceAttributes{Resource: "services", Namespace: service.Namespace, Name: service.Name, Verb: "get"},
		authorizationv1.ResourceAttributes{Group: "discovery.k8s.io", Resource: "endpointslices", Namespace: service.Namespace, Verb: "list"},
		authorizationv1.ResourceAttributes{Group: "batch", Resource: "jobs", Verb: "list"},
		authorizationv1.ResourceAttributes{Group: "batch", Resource: "cronjobs", Verb: "list"},
		cluster.APIServicePermission("get", policy.PolicyAPIService),
	)
}

// checkCurrentServer fails if batch/v1 is served by a third server.
func (p *preflight) checkCurrentServer(ctx context.Context) (string, error) {
	a, err := p.cluster.BatchAPIService(ctx)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return "", err
	}
	nativeErr := p.cluster.VerifyNative(ctx)
	switch p.notNative = errors.Is(nativeErr, cluster.ErrNotNative); {
	case p.notNative && (missing || a.Service == nil):
		return "none: " + nativeErr.Error(), nil
	case missing:
		return "", err
	}
	if a.Service != nil && !a.ServedBy(p.batchgate.Service) {
		return "", fmt.Errorf("%s is served by %s: if that is Batchgate, set --service and --service-namespace, otherwise point it to kube-apiserver first", policy.BatchAPIService, a.Server())
	}
	return a.Server(), nil
}

// checkService fails if the Service lacks the port or a ready endpoint.
func (p *preflight) checkService(ctx context.Context) (string, error) {
	name := p.batchgate.Service
	service, err := p.cluster.Kube.CoreV1().Services(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading the Service: %w: install Batchgate first, or choose another Service with --service", err)
	}
	if service.Spec.ExternalName != "" {
		return "at " + service.Spec.ExternalName, nil // such a Service has no endpoints
	}
	served := false
	for _, port := range service.Spec.Ports {
		served = served || port.Port == name.EffectivePort()
	}
	if !served {
		return "", fmt.Errorf("the Service %s has no port %d: set the right port with --service-port", name, name.EffectivePort())
	}
	_, ready, err := p.cluster.CountEndpoints(ctx, name)
	if err != nil {
		return "", err
	}
	if ready == 0 {
		return "", fmt.Errorf("the Service %s has no ready endpoint: see kubectl -n %s describe pods", name, name.Namespace)
	}
	detail := fmt.Sprintf("%d ready", ready)
	if address := p.cluster.SingleKubeAPIServer(ctx, name); address != "" {
		detail += fmt.Sprintf("; only one kube-apiserver was found, %s: if there is no other, run Batchgate as a static Pod beside it (shared-etcd), because after a restart it waits for Batchgate", address)
	}
	return detail, nil
}

// checkServer fails if the server is not ready or its certificate expires soon.
func (p *preflight) checkServer(ctx context.Context) (string, error) {
	direct, err := p.batchgate.Connect(ctx)
	if err != nil {
		return "", err
	}
	expires := direct.Certificate.NotAfter
	if time.Until(expires) < minValidity {
		return "", fmt.Errorf("the serving certificate expires at %s: renew it, for example with %s", expires.Format(time.RFC3339), cluster.CertificatesCommand)
	}
	if err := cluster.CheckReady(ctx, direct); err != nil {
		return "", fmt.Errorf("the server is not ready: %w: see the log of its Pod", err)
	}
	// The takeover uses this header to tell whether kube-apiserver proxies to Batchgate.
	version, err := cluster.AnsweredBy(ctx, direct)
	switch {
	case err != nil:
		return "", err
	case version == "":
		return "", fmt.Errorf("its responses do not have the header %s: install the server of the same release as this plugin", policy.VersionHeader)
	}
	return "ready, certificate valid until " + expires.Format(time.DateOnly), nil
}

// checkVersions compares the versions that both servers emulate. A server that emulates another
// minor version may not know fields that the cluster stores, and would drop them, or accept fields
// that the cluster's controllers do not know.
func (p *preflight) checkVersions(ctx context.Context) (string, error) {
	direct, err := p.batchgate.Connect(ctx)
	if err != nil {
		return "", err
	}
	theirs, err := cluster.ReadVersion(p.cluster.Kube)
	if err != nil {
		return "", fmt.Errorf("reading the version of kube-apiserver: %w", err)
	}
	ours, err := cluster.ReadVersion(direct)
	if err != nil {
		return "", fmt.Errorf("reading the version of Batchgate: %w", err)
	}
	if err := cluster.CompareVersions(theirs, ours); err != nil {
		return "", err
	}
	if err := p.cluster.CompareEndpointVersions(ctx, ours); err != nil {
		return "", err
	}
	return fmt.Sprintf("cluster %s, server %s", theirs, ours), nil
}

// compare returns a check that compares kube-apiserver with Batchgate.
func (p *preflight) compare(servers func(ctx context.Context, kube, batchgate cluster.Server) (string, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		direct, err := p.batchgate.Connect(ctx)
		if err != nil {
			return "", err
		}
		return servers(ctx, p.cluster.Kube, direct)
	}
}

// compareBatch returns a check that compares how both servers serve batch/v1.
func (p *preflight) compareBatch(servers func(ctx context.Context, kube, batchgate cluster.Server) (string, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if p.notNative {
			return notCompared, nil
		}
		return p.compare(servers)(ctx)
	}
}

// checkObjects fails if the servers have different Jobs and CronJobs.
func (p *preflight) checkObjects(ctx context.Context) (string, error) {
	if !p.notNative {
		return p.compare(cluster.CompareObjects)(ctx)
	}
	guarded, err := p.cluster.HasBinding(ctx, policy.GuardName)
	switch {
	case err != nil && !apierrors.IsForbidden(err):
		return "", fmt.Errorf("checking for a guard: %w", err)
	case guarded:
		return notCompared + ", and the Jobs are in a dedicated etcd", nil
	}
	return p.compare(cluster.CompareEtcd)(ctx)
}

// notCompared is the result of checks that need a kube-apiserver with batch/v1.
const notCompared = "skipped, since kube-apiserver does not serve batch/v1 itself"

// checkCanary writes and reads real objects.
func (p *preflight) checkCanary(ctx context.Context) (string, error) {
	if p.notNative {
		return notCompared, nil
	}
	direct, err := p.batchgate.Connect(ctx)
	if err != nil {
		return "", err
	}
	c := &canary{cluster: p.cluster, namespace: p.namespace, kube: namedServer{p.cluster.Kube, "kube-apiserver"}, batchgate: namedServer{direct, "Batchgate"}}
	return c.run(ctx)
}

// checkReplicas repeats the checks of the server and the etcd with each ready replica. The other
// checks reach only one, and during a rolling update replicas may have different flags.
func (p *preflight) checkReplicas(ctx context.Context) (string, error) {
	if p.batchgate.DialAll == nil {
		return "only the one at the given address was checked", nil
	}
	replicas, closeAll, err := p.batchgate.ConnectAll(ctx)
	if err != nil {
		return "", err
	}
	defer closeAll()
	for i, replica := range replicas {
		one := &preflight{cluster: p.cluster, namespace: p.namespace, notNative: p.notNative, batchgate: &cluster.Batchgate{
			Service: p.batchgate.Service, CABundle: p.batchgate.CABundle,
			Dial: func(context.Context) (*cluster.Direct, error) { return replica, nil },
		}}
		for _, check := range one.replicaChecks() {
			if _, err := check.Run(ctx); err != nil {
				return "", fmt.Errorf("replica %d of %d: %s: %w", i+1, len(replicas), check.Name, err)
			}
		}
	}
	return fmt.Sprintf("all %d ready ones have passed these checks", len(replicas)), nil
}

// replicaChecks returns the checks that may have another result for another replica.
func (p *preflight) replicaChecks() []steps.Step {
	return append(p.serverChecks()[1:], // without the Service
		steps.Step{Name: "objects", Run: p.checkObjects},
		steps.Step{Name: "canary", Run: p.checkCanary},
	)
}
