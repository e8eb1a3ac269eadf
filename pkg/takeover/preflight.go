package takeover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/kubernetes"
)

// expiryWarning is how long a serving certificate must last at least for a takeover.
const expiryWarning = 24 * time.Hour

// Result is what came of a check or step.
type Result struct {
	Name string `json:"name"`
	// Detail says what was seen.
	Detail string `json:"detail,omitempty"`
	// Error says what is wrong, and what to do about it; it is empty if all is well.
	Error string `json:"error,omitempty"`
	// Inverse is the command that undoes a step.
	Inverse string `json:"inverse,omitempty"`
}

// check is one look at the cluster, or one step. It returns what it saw.
type check struct {
	name string
	run  func(context.Context) (string, error)
	// inverse is the command that undoes a step.
	inverse string
}

// do runs the check and tells report of it.
func (c check) do(ctx context.Context, report func(Result)) error {
	detail, err := c.run(ctx)
	r := Result{Name: c.name, Detail: detail, Inverse: c.inverse}
	if err != nil {
		r = Result{Name: c.name, Error: err.Error()}
	}
	report(r)
	return err
}

// runAll runs all checks, tells report of each, and returns an error if any has failed.
func runAll(ctx context.Context, checks []check, report func(Result)) error {
	failed := 0
	for _, c := range checks {
		if c.do(ctx, report) != nil {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks have failed", failed, len(checks))
	}
	return nil
}

// runSteps runs the steps until one fails, and tells report of each.
func runSteps(ctx context.Context, steps []check, report func(Result)) error {
	for _, c := range steps {
		if err := c.do(ctx, report); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// preflight returns the checks that must pass before v1.batch is given to the service.
func (t *Takeover) preflight() []check {
	return []check{
		{name: "permissions", run: t.checkPermissions},
		{name: "current server", run: t.checkServing},
		{name: "service", run: t.checkService},
		{name: "server", run: t.checkServer},
		{name: "versions", run: t.checkVersions},
		{name: "discovery", run: t.checkDiscovery},
		{name: "objects", run: t.checkObjects},
		{name: "canary", run: t.checkCanary},
	}
}

// permissions are all that takeover and rollback need.
func (t *Takeover) permissions() []authorizationv1.ResourceAttributes {
	return append(apiServicePermissions(), []authorizationv1.ResourceAttributes{
		{Resource: "services", Namespace: t.Service.Namespace, Name: t.Service.Name, Verb: "get"},
		{Group: "discovery.k8s.io", Resource: "endpointslices", Namespace: t.Service.Namespace, Verb: "list"},
		{Group: "batch", Resource: "jobs", Verb: "list"},
		{Group: "batch", Resource: "jobs", Verb: "patch"},
		{Group: "batch", Resource: "cronjobs", Verb: "list"},
		{Group: apiServices.Group, Resource: apiServices.Resource, Name: PoliciesAPIService, Verb: "get"},
	}...)
}

// apiServicePermissions are those on v1.batch: a rollback deletes it and makes it anew.
func apiServicePermissions() []authorizationv1.ResourceAttributes {
	needed := []authorizationv1.ResourceAttributes{{Group: apiServices.Group, Resource: apiServices.Resource, Verb: "create"}}
	for _, verb := range []string{"get", "patch", "delete"} {
		needed = append(needed, authorizationv1.ResourceAttributes{Group: apiServices.Group, Resource: apiServices.Resource, Name: BatchAPIService, Verb: verb})
	}
	return needed
}

// checkPermissions asks whether the user may do all that follows, the rollback included.
func (t *Takeover) checkPermissions(ctx context.Context) (string, error) {
	return t.Cluster.CheckPermissions(ctx, t.permissions())
}

// CheckPermissions returns an error if the user lacks one of the rights.
func (c *Cluster) CheckPermissions(ctx context.Context, needed []authorizationv1.ResourceAttributes) (string, error) {
	var missing []string
	for _, attributes := range needed {
		review, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
			&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes}}, metav1.CreateOptions{})
		if err != nil {
			return "", fmt.Errorf("asking for the user's rights: %w", err)
		}
		if right := attributes.Verb + " " + attributes.Resource; !review.Status.Allowed && !slices.Contains(missing, right) {
			missing = append(missing, right)
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("the user may not %s: be a cluster admin for this", strings.Join(missing, ", "))
	}
	return fmt.Sprintf("%d rights", len(needed)), nil
}

// checkServing refuses to take v1.batch from anybody but kube-apiserver.
func (t *Takeover) checkServing(ctx context.Context) (string, error) {
	serving, err := t.Cluster.Serving(ctx)
	if err != nil {
		return "", err
	}
	if serving.Service != nil && !serving.by(t.Service) {
		return "", fmt.Errorf("%s is served by %s: roll that back first", BatchAPIService, serving.Server())
	}
	return serving.Server(), nil
}

// checkService looks at the Service and what is behind it.
func (t *Takeover) checkService(ctx context.Context) (string, error) {
	service, err := t.Cluster.Kube.CoreV1().Services(t.Service.Namespace).Get(ctx, t.Service.Name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading the Service: %w: install artifacts/base first, or name another one with --service", err)
	}
	if service.Spec.ExternalName != "" {
		return "at " + service.Spec.ExternalName, nil // no endpoints to count
	}
	served := false
	for _, port := range service.Spec.Ports {
		served = served || port.Port == t.Service.port()
	}
	if !served {
		return "", fmt.Errorf("Service %s has no port %d: name the right one with --service-port", t.Service, t.Service.port())
	}
	endpoints, err := t.Cluster.endpoints(ctx, t.Service)
	if err != nil {
		return "", err
	}
	ready := countReady(endpoints)
	if ready == 0 {
		return "", fmt.Errorf("Service %s has no ready endpoint: see kubectl -n %s get pods", t.Service, t.Service.Namespace)
	}
	return fmt.Sprintf("%d ready", ready), nil
}

// checkServer connects to the server as kube-apiserver will.
func (t *Takeover) checkServer(ctx context.Context) (string, error) {
	direct, err := t.connect(ctx)
	if err != nil {
		return "", err
	}
	if left := time.Until(direct.Certificate.NotAfter); left < expiryWarning {
		return "", fmt.Errorf("the serving certificate expires at %s: renew it first", direct.Certificate.NotAfter.Format(time.RFC3339))
	}
	if err := direct.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return "", fmt.Errorf("the server is not ready: %w: see its /readyz?verbose", err)
	}
	return "ready, certificate until " + direct.Certificate.NotAfter.Format(time.DateOnly), nil
}

// checkVersions compares the minor versions: a server of another one may not know fields that
// the cluster stores, and would drop them.
func (t *Takeover) checkVersions(ctx context.Context) (string, error) {
	direct, err := t.connect(ctx)
	if err != nil {
		return "", err
	}
	var versions [2]*utilversion.Version
	for i, client := range []kubernetes.Interface{t.Cluster.Kube, direct} {
		info, err := client.Discovery().ServerVersion()
		if err != nil {
			return "", fmt.Errorf("reading the version: %w", err)
		}
		if versions[i], err = utilversion.ParseGeneric(info.GitVersion); err != nil {
			return "", err
		}
	}
	cluster, server := versions[0], versions[1]
	if cluster.Major() != server.Major() || cluster.Minor() != server.Minor() {
		return "", fmt.Errorf("the cluster is %s and the server %s: install the server of the cluster's minor version", cluster, server)
	}
	return fmt.Sprintf("cluster %s, server %s", cluster, server), nil
}

// checkCanary updates a Job, or makes one, as a dry run.
func (t *Takeover) checkCanary(ctx context.Context) (string, error) {
	direct, err := t.connect(ctx)
	if err != nil {
		return "", err
	}
	jobs, err := direct.BatchV1().Jobs(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return "", fmt.Errorf("listing Jobs: %w", err)
	}
	dryRun := []string{metav1.DryRunAll}
	if len(jobs.Items) == 0 {
		job := canary()
		if _, err := direct.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{DryRun: dryRun}); err != nil {
			return "", fmt.Errorf("creating a Job as a dry run: %w", err)
		}
		return "a Job can be created", nil
	}
	job := &jobs.Items[0]
	patch := fmt.Sprintf(`{"metadata":{"labels":{"batchgate-canary":%q}}}`, time.Now().Format("150405"))
	if _, err := direct.BatchV1().Jobs(job.Namespace).Patch(ctx, job.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: dryRun}); err != nil {
		return "", fmt.Errorf("patching Job %s/%s as a dry run: %w", job.Namespace, job.Name, err)
	}
	return fmt.Sprintf("Job %s/%s can be patched", job.Namespace, job.Name), nil
}

// errNotConnected is what the checks of a server say that could not be reached.
var errNotConnected = errors.New("the server was not reached")

// connect returns the connection to the server, made once.
func (t *Takeover) connect(ctx context.Context) (*Direct, error) {
	if t.direct == nil && t.directErr == nil {
		t.direct, t.directErr = t.Connect(ctx)
		return t.direct, t.directErr
	}
	if t.directErr != nil {
		return nil, errNotConnected
	}
	return t.direct, nil
}
