// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	policyv1alpha1 "github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// Status is the state of batch/v1 and of Batchgate in a cluster.
type Status struct {
	// APIService is v1.batch.
	APIService     *cluster.APIService `json:"apiService"`
	ClusterVersion string              `json:"clusterVersion"`
	// Topology names the etcd that Batchgate serves from. It is empty if kube-apiserver serves.
	Topology string `json:"topology,omitempty"`
	// NotNative is set if kube-apiserver cannot serve batch/v1 itself.
	NotNative bool `json:"notNative,omitempty"`
	// DiscoveryStale is set if kube-apiserver does not list the resources of batch/v1.
	DiscoveryStale bool `json:"discoveryStale"`
	// Disagreeing names the kube-apiservers that serve Jobs themselves although v1.batch points to a
	// Service, or the reverse.
	Disagreeing []string `json:"disagreeing,omitempty"`
	// Guarded is set if kube-apiserver denies writes because Jobs are in the dedicated etcd.
	Guarded bool `json:"guarded"`
	// GuardEdited is set if the guard was edited, so that it might not deny writes.
	GuardEdited bool `json:"guardEdited,omitempty"`
	// guardUnknown is set if the user may not read the guard.
	guardUnknown bool
	// Frozen is set while writes are denied because Jobs are moved.
	Frozen bool `json:"frozen"`
	// Blocked is set if kube-apiserver is not ready because it waits for v1.batch, while Batchgate
	// cannot start before kube-apiserver is ready.
	Blocked bool `json:"blocked"`
	// NoKubernetesEndpoints is set if, in addition, the Service kubernetes has no ready endpoint.
	NoKubernetesEndpoints bool `json:"noKubernetesEndpoints,omitempty"`
	// Endpoints counts the endpoints of the Service.
	Endpoints      int             `json:"endpoints"`
	EndpointsReady int             `json:"endpointsReady"`
	Batchgate      BatchgateStatus `json:"batchgate"`
	// Policies counts the JobUpdatePolicies. PoliciesNotReady names those that are not active.
	Policies         int      `json:"policies"`
	PoliciesNotReady []string `json:"policiesNotReady,omitempty"`
	PoliciesError    string   `json:"policiesError,omitempty"`
}

const (
	topologyDedicated = "the dedicated etcd"
	topologyImporting = "both etcds, because an import is not finished"
	topologyShared    = "the etcd that kube-apiserver uses"
)

// BatchgateStatus is what Batchgate reports over a direct connection.
type BatchgateStatus struct {
	Version            string    `json:"version,omitempty"`
	Ready              bool      `json:"ready"`
	CertificateExpires time.Time `json:"certificateExpires,omitzero"`
	// Skew says what to do if Batchgate and a kube-apiserver emulate different minor versions.
	Skew string `json:"skew,omitempty"`
	// Error says why Batchgate could not be reached.
	Error string `json:"error,omitempty"`
}

// Problems describes everything that needs attention, without the consequences of being blocked.
// While kube-apiserver serves batch/v1, Batchgate need not run.
func (s *Status) Problems() []string {
	var problems []string
	if s.Blocked {
		problem := "kube-apiserver is not ready, since it waits for " + policy.BatchAPIService + ", and Batchgate cannot start before it is"
		if s.NoKubernetesEndpoints {
			problem += "; the Service default/kubernetes has no endpoints"
		}
		problems = append(problems, problem+": run "+cluster.UnblockCommand)
	}
	if s.NotNative && s.APIService.Service == nil {
		problems = append(problems, cluster.ErrNoServer.Error())
	}
	if s.APIService.Available != string(metav1.ConditionTrue) && !s.Blocked {
		problems = append(problems, policy.BatchAPIService+" is not available: see kubectl describe apiservice "+policy.BatchAPIService)
	}
	if len(s.Disagreeing) > 0 {
		problem := "serve Jobs themselves, without Batchgate"
		if s.APIService.Service == nil {
			problem = "still proxy requests for Jobs to Batchgate"
		}
		problems = append(problems, "these kube-apiservers "+problem+": "+strings.Join(s.Disagreeing, ", ")+" (restart them if that lasts for more than a minute)")
	}
	if s.DiscoveryStale && !s.Blocked {
		problem := "batch/v1 is stale in discovery"
		if s.APIService.Service == nil {
			problem += ", since kube-apiserver still reads the discovery of Batchgate: run " + cluster.RollbackCommand
		} else {
			problem += ", which kube-apiserver reads again every minute"
		}
		problems = append(problems, problem)
	}
	if s.Frozen {
		problem := "an unfinished import or rollback denies writes of Jobs"
		switch {
		case s.APIService.DedicatedEtcd:
			problem += ": if none is running, run " + cluster.ImportCommand + " --resume"
		case !s.APIService.Importing:
			problem += ": if none is running, run " + cluster.RollbackCommand + " --resume"
		}
		problems = append(problems, problem)
	}
	if s.Guarded && !s.Frozen && !s.APIService.DedicatedEtcd && !s.APIService.Importing {
		problems = append(problems, "the Jobs are in a dedicated etcd, and kube-apiserver shows outdated ones: run "+cluster.ImportCommand+", which takes over again")
	}
	if s.APIService.DedicatedEtcd && !s.Guarded && !s.guardUnknown {
		problems = append(problems, "the guard is missing, so a kube-apiserver that starts may accept writes of Jobs and lose them: run "+cluster.ImportCommand+", which recreates it")
	}
	if s.APIService.DedicatedEtcd && s.GuardEdited {
		problems = append(problems, "the guard was edited, so a kube-apiserver that starts may accept writes of Jobs and lose them: run "+cluster.ImportCommand+", which replaces it")
	}
	if s.APIService.Importing {
		problems = append(problems, "an import is not finished: if none is running, undo it with "+cluster.RollbackCommand+" or finish it with "+cluster.ImportCommand+" --resume")
	}
	if s.APIService.Service == nil {
		return problems
	}
	if (s.Batchgate.Error != "" || !s.Batchgate.Ready) && !s.Blocked {
		problems = append(problems, fmt.Sprintf("Batchgate is not ready, or could not be reached: see kubectl -n %s describe pods", s.APIService.Service.Namespace))
	}
	if s.Batchgate.Skew != "" {
		problems = append(problems, s.Batchgate.Skew)
	}
	switch {
	case s.PoliciesError != "" && !s.Blocked:
		problems = append(problems, "not all policies are known to be active: "+s.PoliciesError)
	case len(s.PoliciesNotReady) > 0:
		problems = append(problems, "not all policies are active: see kubectl get jobupdatepolicies")
	}
	return problems
}

// ReadStatus reads the status. It fails only if kube-apiserver does not respond.
func ReadStatus(ctx context.Context, c *cluster.Cluster, b *cluster.Batchgate) (*Status, error) {
	s := &Status{}
	var err error
	if s.APIService, err = c.BatchAPIService(ctx); err != nil {
		return nil, err
	}
	clusterVersion, err := cluster.ReadVersion(c.Kube)
	if err != nil {
		return nil, fmt.Errorf("reading the version: %w", err)
	}
	s.ClusterVersion = clusterVersion.String()
	if s.APIService.Service != nil {
		switch {
		case s.APIService.DedicatedEtcd:
			s.Topology = topologyDedicated
		case s.APIService.Importing:
			s.Topology = topologyImporting
		default:
			s.Topology = topologyShared
		}
	}
	s.NotNative = errors.Is(c.VerifyNative(ctx), cluster.ErrNotNative)
	fresh, err := c.DiscoveryFresh(ctx)
	if err != nil {
		return nil, err
	}
	s.DiscoveryStale = !fresh
	// Users who may not read the bindings get the rest of the status.
	if s.Frozen, err = c.HasBinding(ctx, policy.FreezeName); err != nil && !apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("checking for a freeze: %w", err)
	}
	s.Guarded, err = c.HasBinding(ctx, policy.GuardName)
	if s.guardUnknown = apierrors.IsForbidden(err); err != nil && !s.guardUnknown {
		return nil, fmt.Errorf("checking for a guard: %w", err)
	}
	if s.Guarded {
		err := c.VerifyDenial(ctx, cluster.Guard)
		if s.GuardEdited = cluster.Ineffective(err); err != nil && !s.GuardEdited && !apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("checking for a guard: %w", err)
		}
	}
	if s.Endpoints, s.EndpointsReady, err = c.CountEndpoints(ctx, b.Service); err != nil {
		return nil, err
	}
	s.readBlocked(ctx, c)
	if s.Blocked {
		// The endpoints are older than the shutdown, so a connection could only time out.
		s.Batchgate.Error = "not tried, since kube-apiserver is not ready"
	} else {
		s.Disagreeing = c.Disagreeing(ctx, s.APIService.Service != nil)
		s.Batchgate = readBatchgate(ctx, c, b, clusterVersion)
	}
	s.readPolicies(ctx, c)
	return s, nil
}

// readBlocked detects that kube-apiserver and Batchgate wait for each other. It ignores errors, such
// as missing permissions.
func (s *Status) readBlocked(ctx context.Context, c *cluster.Cluster) {
	if s.APIService.Service == nil || s.APIService.Available == string(metav1.ConditionTrue) {
		return
	}
	if s.Blocked, _ = cluster.Blocked(ctx, c.Kube); s.Blocked {
		found, err := c.HasKubernetesEndpoints(ctx)
		s.NoKubernetesEndpoints = err == nil && !found
	}
}

func readBatchgate(ctx context.Context, c *cluster.Cluster, batchgate *cluster.Batchgate, clusterVersion cluster.Version) BatchgateStatus {
	direct, err := batchgate.Connect(ctx)
	if err != nil {
		return BatchgateStatus{Error: err.Error()}
	}
	b := BatchgateStatus{CertificateExpires: direct.Certificate.NotAfter}
	b.Ready = cluster.CheckReady(ctx, direct) == nil
	version, err := cluster.ReadVersion(direct)
	if err != nil {
		b.Error = err.Error()
		return b
	}
	b.Version = version.String()
	err = cluster.CompareVersions(clusterVersion, version)
	if err == nil {
		err = c.CompareEndpointVersions(ctx, version)
	}
	if err != nil {
		b.Skew = err.Error()
	}
	return b
}

func (s *Status) readPolicies(ctx context.Context, c *cluster.Cluster) {
	list, err := c.Policies.PolicyV1alpha1().JobUpdatePolicies().List(ctx, metav1.ListOptions{})
	if err != nil {
		s.PoliciesError = err.Error()
		return
	}
	s.Policies = len(list.Items)
	for _, p := range list.Items {
		if !meta.IsStatusConditionTrue(p.Status.Conditions, policyv1alpha1.ConditionReady) {
			s.PoliciesNotReady = append(s.PoliciesNotReady, p.Name)
		}
	}
}
