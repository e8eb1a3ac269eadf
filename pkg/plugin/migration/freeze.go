// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

const (
	// defaultWebhookTimeout is the default of a webhook's timeoutSeconds.
	defaultWebhookTimeout = 10 * time.Second
	// unfreezeSettle is how long writes must be allowed before the freeze counts as ended.
	unfreezeSettle = time.Second
)

var (
	// errFrozen is returned if another operation has frozen writes.
	errFrozen = errors.New("writes are frozen already, by an import or a rollback that is running or was killed: if none is running, set --resume")
	// errFreezeUnknown is returned if it is unknown whether the freeze was created.
	errFreezeUnknown = errors.New("writes may be frozen now")
)

// create creates a policy, unless it exists with the right content, and its binding, which must not
// exist.
func create(ctx context.Context, c *cluster.Cluster, d cluster.Denial, annotations map[string]string) (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding, error) {
	p, binding := d.Objects()
	binding.Annotations = annotations
	client := c.Kube.AdmissionregistrationV1()
	createdPolicy, err := client.ValidatingAdmissionPolicies().Create(ctx, p, metav1.CreateOptions{FieldManager: policy.PluginFieldManager})
	if apierrors.IsAlreadyExists(err) {
		if createdPolicy, err = client.ValidatingAdmissionPolicies().Get(ctx, d.Name, metav1.GetOptions{}); err == nil {
			err = d.VerifyPolicy(createdPolicy)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w; run: kubectl delete validatingadmissionpolicy %s", err, d.Name)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	created, err := client.ValidatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{FieldManager: policy.PluginFieldManager})
	if err != nil {
		return nil, nil, err
	}
	return createdPolicy, created, nil
}

// errReplaced is returned if another operation has created a freeze or a guard meanwhile.
var errReplaced = errors.New("another operation has started meanwhile: see kubectl batchgate status")

// remove deletes a policy and its binding, if the binding has that UID. It succeeds if there is
// nothing to delete. If uid is empty, there was no binding, and remove deletes a policy without one.
func remove(ctx context.Context, c *cluster.Cluster, name string, uid types.UID) error {
	if uid == "" {
		return removeVersion(ctx, c, name, nil)
	}
	return removeVersion(ctx, c, name, &metav1.Preconditions{UID: &uid})
}

// removeVersion does what remove does, for a binding that meets the preconditions. They are nil if
// there was no binding.
func removeVersion(ctx context.Context, c *cluster.Cluster, name string, binding *metav1.Preconditions) error {
	client := c.Kube.AdmissionregistrationV1()
	var err error
	if binding != nil {
		err = client.ValidatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{Preconditions: binding})
		if apierrors.IsConflict(err) {
			return fmt.Errorf("deleting %s: %w", name, errReplaced)
		}
	}
	if err == nil || apierrors.IsNotFound(err) {
		err = removePolicy(ctx, c, name)
	}
	switch {
	case err == nil, apierrors.IsNotFound(err):
		return nil
	case errors.Is(err, errReplaced):
		return err
	}
	return fmt.Errorf("allowing writes again: %w; run: kubectl delete validatingadmissionpolicybinding %s", err, name)
}

// removePolicy deletes a policy. It fails if the policy has a binding, because then another
// operation uses it.
func removePolicy(ctx context.Context, c *cluster.Cluster, name string) error {
	uid, err := c.BindingUID(ctx, name)
	switch {
	case err != nil:
		return err
	case uid != "":
		return fmt.Errorf("deleting %s: %w", name, errReplaced)
	}
	return c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{})
}

// permissions returns the permissions that a move needs and a takeover does not.
func permissions() []authorizationv1.ResourceAttributes {
	needed := []authorizationv1.ResourceAttributes{
		{Group: "batch", Resource: "jobs", Verb: "create"},
		{Group: "batch", Resource: "jobs", Verb: "delete"},
		{Group: "batch", Resource: "jobs", Verb: "get"},
		{Resource: "namespaces", Name: metav1.NamespaceSystem, Verb: "get"},
		{Group: admissionv1.GroupName, Resource: "validatingwebhookconfigurations", Verb: "list"},
	}
	for _, resource := range []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"} {
		for _, verb := range []string{"create", "delete", "get"} {
			needed = append(needed, authorizationv1.ResourceAttributes{Group: admissionv1.GroupName, Resource: resource, Verb: verb})
		}
	}
	return needed
}

// freezer denies all writes of Jobs and CronJobs while they are moved.
type freezer struct {
	cluster *cluster.Cluster
	// namespace of the Job that tests with dry runs whether writes are denied. Empty means "default".
	namespace string
	// uid is the UID of the freeze's binding. It is empty if this freezer has created none.
	uid types.UID
	// bindingVersion is the resource version of the binding.
	bindingVersion string
	// policyUID and policyGeneration identify the content of the policy. Its resource version
	// also changes with its status.
	policyUID        types.UID
	policyGeneration int64
	// id is the value of the freeze annotation.
	id string
	// earlier is the UID of the binding of an earlier operation's freeze, which this freezer may
	// delete. It is empty if there was none.
	earlier types.UID
	// unknown is set if it is unknown whether the freeze was created, or the earlier one deleted.
	unknown bool
}

// check fails if writes are frozen, unless resume is set. Then this freezer may delete that freeze.
func (f *freezer) check(resume bool) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		uid, err := f.cluster.BindingUID(ctx, policy.FreezeName)
		switch {
		case err != nil:
			return "", err
		case uid != "" && !resume:
			return "", errFrozen
		}
		f.earlier = uid
		return "no other operation is running", nil
	}
}

// start creates the freeze and calls afterCreate. It returns once kube-apiserver and the replicas
// deny writes and all writes that were admitted before are stored. It replaces the freeze that check
// has found.
func (f *freezer) start(ctx context.Context, afterCreate func(context.Context) error, replicas []*cluster.Direct) (string, error) {
	if f.earlier != "" {
		f.unknown = true
		err := remove(ctx, f.cluster, policy.FreezeName, f.earlier)
		f.unknown = err != nil && !errors.Is(err, errReplaced)
		if err != nil {
			return "", err
		}
	}
	if err := f.create(ctx); err != nil {
		return "", err
	}
	if err := afterCreate(ctx); err != nil {
		return "", err
	}
	settle, err := f.admissionTime(ctx)
	if err != nil {
		return "", err
	}
	found, err := f.awaitWrites(ctx, true, settle, replicas...)
	if err != nil {
		return "", fmt.Errorf("waiting for all servers to deny writes: %w", err)
	}
	return fmt.Sprintf("kube-apiserver and %d of Batchgate's replicas have denied writes of Jobs and CronJobs for %s%s", len(replicas), settle, found), nil
}

func (f *freezer) create(ctx context.Context) error {
	operation := string(uuid.NewUUID())
	p, binding, err := create(ctx, f.cluster, cluster.Freeze, map[string]string{policy.OperationAnnotation: operation})
	if err == nil {
		f.uid, f.bindingVersion, f.policyUID, f.policyGeneration = binding.UID, binding.ResourceVersion, p.UID, p.Generation
		f.id = cluster.DenialID(p, binding)
		return nil
	}
	if apierrors.IsAlreadyExists(err) {
		return errFrozen
	}
	// The binding exists despite the error if only the response was lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	found, readErr := f.cluster.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, policy.FreezeName, metav1.GetOptions{})
	switch {
	case readErr == nil && found.Annotations[policy.OperationAnnotation] == operation:
		f.uid = found.UID
	case readErr != nil && !apierrors.IsNotFound(readErr):
		f.unknown = true
		err = fmt.Errorf("%w: %w", err, errFreezeUnknown)
	}
	return fmt.Errorf("creating the freeze: %w", err)
}

// errNotHeld is returned if writes may have been allowed since the freeze.
var errNotHeld = errors.New("clients may have written meanwhile")

// verifyHeld fails if the freeze was deleted, replaced or changed since this freezer created it.
func (f *freezer) verifyHeld(ctx context.Context) (string, error) {
	client := f.cluster.Kube.AdmissionregistrationV1()
	binding, err := client.ValidatingAdmissionPolicyBindings().Get(ctx, policy.FreezeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && binding.UID != f.uid {
		return "", fmt.Errorf("the freeze was lifted: %w", errNotHeld)
	}
	if err != nil {
		return "", fmt.Errorf("reading the freeze: %w", err)
	}
	p, err := client.ValidatingAdmissionPolicies().Get(ctx, policy.FreezeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && p.UID != f.policyUID {
		return "", fmt.Errorf("the freeze was lifted: its policy was deleted: %w", errNotHeld)
	}
	if err != nil {
		return "", fmt.Errorf("reading the freeze: %w", err)
	}
	if err := errors.Join(cluster.Freeze.VerifyBinding(binding), cluster.Freeze.VerifyPolicy(p)); err != nil {
		return "", fmt.Errorf("the freeze was changed: %w: %w", err, errNotHeld)
	}
	// It may have been changed and restored.
	if binding.ResourceVersion != f.bindingVersion || p.Generation != f.policyGeneration {
		return "", fmt.Errorf("the freeze was changed: %w", errNotHeld)
	}
	return "writes have been denied since the freeze", nil
}

// end deletes the freeze and returns once writes are allowed again. If this freezer has created
// none, it deletes the freeze of an earlier operation.
func (f *freezer) end(ctx context.Context) (string, error) {
	if err := remove(ctx, f.cluster, policy.FreezeName, cmp.Or(f.uid, f.earlier)); err != nil {
		return "", err
	}
	return f.awaitEnd(ctx)
}

// uninterrupted makes run continue after Ctrl-C, which must not leave writes frozen.
func uninterrupted(run func(context.Context) (string, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return run(ctx)
	}
}

// awaitEnd returns once writes are allowed again.
func (f *freezer) awaitEnd(ctx context.Context) (string, error) {
	if _, err := f.awaitWrites(ctx, false, min(unfreezeSettle, f.cluster.Timing.Settle)); err != nil {
		return "", fmt.Errorf("waiting for writes to be allowed: %w", err)
	}
	return "writes are allowed again", nil
}

// undo ends the freeze if this freezer has created one.
func (f *freezer) undo(ctx context.Context) (string, error) {
	switch {
	case f.uid != "":
		return f.end(ctx)
	case f.unknown:
		return "", errFreezeUnknown
	}
	return "writes were never frozen", nil
}

// admissionTime returns how long a write may take from the evaluation of policies to etcd: the
// settle time and the longest timeout of a webhook for Jobs, which comes in between.
func (f *freezer) admissionTime(ctx context.Context) (time.Duration, error) {
	list, err := f.cluster.Kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("reading the timeouts of webhooks: %w", err)
	}
	longest := time.Duration(0)
	for _, configuration := range list.Items {
		for _, webhook := range configuration.Webhooks {
			for _, rule := range webhook.Rules {
				if slices.Contains(rule.APIGroups, "batch") || slices.Contains(rule.APIGroups, "*") {
					timeout := defaultWebhookTimeout
					if webhook.TimeoutSeconds != nil {
						timeout = time.Duration(*webhook.TimeoutSeconds) * time.Second
					}
					longest = max(longest, timeout)
				}
			}
		}
	}
	return f.cluster.Timing.Settle + longest, nil
}

// awaitWrites waits until every kube-apiserver and the replicas have denied, or allowed, writes
// for some time without interruption. It describes the kube-apiservers that it found.
func (f *freezer) awaitWrites(ctx context.Context, denied bool, settle time.Duration, replicas ...*cluster.Direct) (string, error) {
	var servers []cluster.Server
	for _, replica := range replicas {
		servers = append(servers, replica)
	}
	return f.cluster.AwaitSettled(ctx, settle, f.cluster.Timing.Switch, func(ctx context.Context, s cluster.Server) error {
		denies, err := f.deniesWrites(ctx, s)
		switch {
		case denies != denied && err == nil:
			return fmt.Errorf("the freeze denies writes of Jobs: %t", denies)
		case denied && err != nil:
			return cluster.Permanent(err)
		case apierrors.IsInvalid(err), apierrors.IsForbidden(err):
			return nil // another policy of the cluster denies the canary, so writes are not frozen
		}
		return err
	}, servers...)
}

// deniesWrites reports whether a freeze or guard denies a write on the server. It returns any
// other error.
func (f *freezer) deniesWrites(ctx context.Context, s cluster.Server) (bool, error) {
	job := Controllers{Namespace: f.namespace}.job()
	_, err := s.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if isFreeze(err) {
		return true, nil
	}
	return false, err
}

// isFreeze reports whether err is a denial by a freeze or a guard.
func isFreeze(err error) bool {
	return err != nil && (strings.Contains(err.Error(), cluster.Freeze.Message) || strings.Contains(err.Error(), cluster.Guard.Message))
}
