package takeover

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilversion "k8s.io/apimachinery/pkg/util/version"
)

// PoliciesAPIService is the APIService of the policies' group, which has the CA too.
const PoliciesAPIService = "v1alpha1.policy.batchgate.io"

var policies = schema.GroupVersionResource{Group: "policy.batchgate.io", Version: "v1alpha1", Resource: "jobupdatepolicies"}

// Status is what there is to see of Batchgate in a cluster.
type Status struct {
	Serving        *Serving `json:"serving"`
	ClusterVersion string   `json:"clusterVersion"`
	// Topology says whose etcd Batchgate serves from, empty where it does not serve.
	Topology string `json:"topology,omitempty"`
	// DiscoveryStale is set where kube-apiserver does not list the resources of batch/v1.
	DiscoveryStale bool `json:"discoveryStale"`
	// Guarded is set while kube-apiserver refuses writes, since the Jobs are in Batchgate's own etcd.
	Guarded bool `json:"guarded"`
	// Frozen is set while writes of Jobs are refused, since they are moved.
	Frozen bool `json:"frozen"`
	// Endpoints are those of the Service.
	Endpoints      int             `json:"endpoints"`
	EndpointsReady int             `json:"endpointsReady"`
	Batchgate      BatchgateStatus `json:"batchgate"`
	// Policies counts the JobUpdatePolicies; PoliciesNotReady names those not wholly in force.
	Policies         int      `json:"policies"`
	PoliciesNotReady []string `json:"policiesNotReady,omitempty"`
	PoliciesError    string   `json:"policiesError,omitempty"`
}

const (
	topologyOwn    = "an etcd of its own, Jobs were imported"
	topologyShared = "the etcd that kube-apiserver keeps Jobs in"
)

// BatchgateStatus is what Batchgate says when it is asked past kube-apiserver.
type BatchgateStatus struct {
	Version            string    `json:"version,omitempty"`
	Ready              bool      `json:"ready"`
	CertificateExpires time.Time `json:"certificateExpires,omitzero"`
	// Skew is set where its minor version is not the cluster's.
	Skew bool `json:"skew"`
	// Error says why it was not reached.
	Error string `json:"error,omitempty"`
}

// KnownCABundle returns the CA of Batchgate's serving certificate that an APIService of the
// cluster has, or else the Secret of that certificate, in PEM.
func (c *Cluster) KnownCABundle(ctx context.Context, service Service) ([]byte, error) {
	for _, name := range []string{PoliciesAPIService, BatchAPIService} {
		obj, err := c.Dynamic.Resource(apiServices).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for the CA of the serving certificate: %w", err)
		}
		serving, err := servingFrom(obj)
		if err != nil {
			return nil, err
		}
		switch s := serving.Service; {
		case len(serving.CABundle) == 0 || s == nil || s.Namespace != service.Namespace || s.Name != service.Name:
		case s.port() != service.port():
			return nil, fmt.Errorf("APIService %s has port %d of Service %s: give --service-port=%d", name, s.port(), service, s.port())
		default:
			return serving.CABundle, nil
		}
	}
	// Not everybody may read Secrets; nor is there one where the certificate came another way.
	secret, err := c.Kube.CoreV1().Secrets(service.Namespace).Get(ctx, ServingSecret, metav1.GetOptions{})
	if err == nil && len(secret.Data[caKey]) > 0 {
		return secret.Data[caKey], nil
	}
	return nil, fmt.Errorf("neither an APIService of Service %s nor %s of Secret %s has the CA of the serving certificate: give it with --ca-file", service, caKey, ServingSecret)
}

// Problems says what is not as it should be. While kube-apiserver serves batch/v1, nothing is
// wrong with a Batchgate that does not run.
func (s *Status) Problems() []string {
	var problems []string
	if s.Serving.Available != string(metav1.ConditionTrue) {
		problems = append(problems, BatchAPIService+" is not available")
	}
	if s.DiscoveryStale {
		problem := "batch/v1 is stale in discovery"
		if s.Serving.Service == nil {
			problem += ", since kube-apiserver still asks Batchgate: run " + rollbackCommand
		}
		problems = append(problems, problem)
	}
	if s.Frozen {
		problems = append(problems, "writes of Jobs are refused by an import or a rollback that has not ended")
	}
	if s.Guarded && !s.Serving.OwnEtcd && !s.Serving.Importing {
		problems = append(problems, "the Jobs are in an etcd of Batchgate's own, and kube-apiserver shows those of before: run kubectl batchgate import, which takes over again")
	}
	if s.Serving.Importing {
		problems = append(problems, "an import has not ended: if none is at work, run "+rollbackCommand)
	}
	if s.Serving.Service == nil {
		return problems
	}
	if s.Batchgate.Error != "" || !s.Batchgate.Ready {
		problems = append(problems, "Batchgate is not ready, or was not reached")
	}
	if s.Batchgate.Skew {
		problems = append(problems, "Batchgate is of another minor version than the cluster")
	}
	if s.PoliciesError != "" || len(s.PoliciesNotReady) > 0 {
		problems = append(problems, "not all policies are in force, or known to be")
	}
	return problems
}

// Status looks at everything. Its error is that of kube-apiserver only.
func (c *Cluster) Status(ctx context.Context, service Service, connect func(context.Context) (*Direct, error)) (*Status, error) {
	s := &Status{}
	var err error
	if s.Serving, err = c.Serving(ctx); err != nil {
		return nil, err
	}
	info, err := c.Kube.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("reading the version: %w", err)
	}
	s.ClusterVersion = info.GitVersion
	if s.Serving.Service != nil {
		s.Topology = map[bool]string{true: topologyOwn, false: topologyShared}[s.Serving.OwnEtcd]
	}
	fresh, err := c.discovered(ctx)
	if err != nil {
		return nil, err
	}
	s.DiscoveryStale = !fresh
	// Whoever may not see it is told the rest.
	if s.Frozen, err = c.frozen(ctx); err != nil && !apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("looking whether writes are refused: %w", err)
	}
	if s.Guarded, err = c.bound(ctx, guardName); err != nil && !apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("looking whether writes are refused: %w", err)
	}
	endpoints, err := c.endpoints(ctx, service)
	if err != nil {
		return nil, err
	}
	s.Endpoints, s.EndpointsReady = len(endpoints), countReady(endpoints)
	s.Batchgate = askBatchgate(ctx, connect, s.ClusterVersion)
	c.readPolicies(ctx, s)
	return s, nil
}

func askBatchgate(ctx context.Context, connect func(context.Context) (*Direct, error), clusterVersion string) BatchgateStatus {
	direct, err := connect(ctx)
	if err != nil {
		return BatchgateStatus{Error: err.Error()}
	}
	b := BatchgateStatus{CertificateExpires: direct.Certificate.NotAfter}
	b.Ready = direct.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil
	info, err := direct.Discovery().ServerVersion()
	if err != nil {
		b.Error = err.Error()
		return b
	}
	b.Version = info.GitVersion
	ours, err := utilversion.ParseGeneric(b.Version)
	theirs, theirErr := utilversion.ParseGeneric(clusterVersion)
	b.Skew = err != nil || theirErr != nil || ours.Major() != theirs.Major() || ours.Minor() != theirs.Minor()
	return b
}

func (c *Cluster) readPolicies(ctx context.Context, s *Status) {
	list, err := c.Dynamic.Resource(policies).List(ctx, metav1.ListOptions{})
	if err != nil {
		s.PoliciesError = err.Error()
		return
	}
	s.Policies = len(list.Items)
	for _, p := range list.Items {
		ready := false
		conditions, _, _ := unstructured.NestedSlice(p.Object, "status", "conditions")
		for _, c := range conditions {
			if condition, ok := c.(map[string]any); ok && condition["type"] == "Ready" {
				ready = condition["status"] == string(metav1.ConditionTrue)
			}
		}
		if !ready {
			s.PoliciesNotReady = append(s.PoliciesNotReady, p.GetName())
		}
	}
}
