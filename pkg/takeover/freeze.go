package takeover

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

const (
	// freezeName is that of the ValidatingAdmissionPolicy and its binding.
	freezeName = "batchgate-freeze"
	// frozenMessage is what writers are told meanwhile.
	frozenMessage = "Jobs and CronJobs cannot be changed while they are moved to another etcd: try again in a minute"
	// settleTime is how long the freeze must have held without a gap: every kube-apiserver of
	// the cluster must have heard of it, and writes that were admitted before it be over.
	settleTime = 10 * time.Second
)

// freezePolicy refuses every write of Jobs and CronJobs, by whomever, on every server that runs
// the cluster's admission policies.
func freezePolicy() *admissionv1.ValidatingAdmissionPolicy {
	return &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: freezeName},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: ptr.To(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete},
					Rule: admissionv1.Rule{
						APIGroups: []string{"batch"}, APIVersions: []string{"*"},
						Resources: []string{"jobs", "jobs/*", "cronjobs", "cronjobs/*"},
					},
				},
			}}},
			Validations: []admissionv1.Validation{{Expression: "false", Message: frozenMessage}},
		},
	}
}

// movePermissions are what moving Jobs needs besides those of a takeover.
func movePermissions() []authorizationv1.ResourceAttributes {
	needed := []authorizationv1.ResourceAttributes{
		{Group: "batch", Resource: "jobs", Verb: "create"},
		{Group: "batch", Resource: "jobs", Verb: "delete"},
		{Resource: "namespaces", Name: metav1.NamespaceSystem, Verb: "get"},
	}
	for _, resource := range []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"} {
		for _, verb := range []string{"create", "delete"} {
			needed = append(needed, authorizationv1.ResourceAttributes{Group: admissionv1.GroupName, Resource: resource, Verb: verb})
		}
	}
	return needed
}

// freeze refuses all writes from now on, and waits until all servers do.
func (c *Cluster) freeze(ctx context.Context, direct kubernetes.Interface) (string, error) {
	client := c.Kube.AdmissionregistrationV1()
	_, err := client.ValidatingAdmissionPolicies().Create(ctx, freezePolicy(), metav1.CreateOptions{})
	if err == nil || apierrors.IsAlreadyExists(err) {
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: freezeName},
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: freezeName, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			},
		}
		_, err = client.ValidatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("refusing writes: %w", err)
	}
	if err := c.awaitWrites(ctx, true, settleTime, direct); err != nil {
		return "", fmt.Errorf("waiting for all servers to refuse writes: %w", err)
	}
	return fmt.Sprintf("kube-apiserver and Batchgate have refused writes of Jobs and CronJobs for %s", settleTime), nil
}

// thaw lets writes through again. It succeeds where there is nothing to do.
func (c *Cluster) thaw(ctx context.Context) error {
	client := c.Kube.AdmissionregistrationV1()
	err := client.ValidatingAdmissionPolicyBindings().Delete(ctx, freezeName, metav1.DeleteOptions{})
	if err == nil || apierrors.IsNotFound(err) {
		err = client.ValidatingAdmissionPolicies().Delete(ctx, freezeName, metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("unfreezing writes: %w; run: kubectl delete validatingadmissionpolicybinding %s", err, freezeName)
	}
	return nil
}

// thawAndWait lets writes through again, and waits until they are.
func (c *Cluster) thawAndWait(ctx context.Context) (string, error) {
	if err := c.thaw(ctx); err != nil {
		return "", err
	}
	if err := c.awaitWrites(ctx, false, time.Second); err != nil {
		return "", fmt.Errorf("waiting for writes to be let through: %w", err)
	}
	return "writes are let through again", nil
}

// frozen reports whether writes are refused, as far as the cluster's objects tell.
func (c *Cluster) frozen(ctx context.Context) (bool, error) {
	_, err := c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, freezeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// refusesWrites asks a server whether it does. An error is one of the question.
func refusesWrites(ctx context.Context, client kubernetes.Interface) (bool, error) {
	job := canary()
	_, err := client.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil && strings.Contains(err.Error(), frozenMessage) {
		return true, nil
	}
	return false, err
}

// awaitWrites waits until kube-apiserver, and other servers, have refused writes, or not, for
// some time without a gap.
func (c *Cluster) awaitWrites(ctx context.Context, refused bool, settle time.Duration, others ...kubernetes.Interface) error {
	var since time.Time
	return wait.PollUntilContextTimeout(ctx, 250*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		fresh, closeFresh, err := c.fresh()
		if err != nil {
			return false, err
		}
		defer closeFresh()
		for _, server := range append(others, fresh) {
			refuses, err := refusesWrites(ctx, server)
			if err != nil && refused {
				return false, err
			}
			if refuses != refused {
				since = time.Time{}
				return false, nil
			}
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) >= settle, nil
	})
}

// fresh returns a client with a connection of its own: behind one address there may be several
// kube-apiservers.
func (c *Cluster) fresh() (kubernetes.Interface, func(), error) {
	config := rest.CopyConfig(c.Config)
	config.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, nil, err
	}
	client, err := kubernetes.NewForConfigAndClient(config, transport)
	return client, transport.CloseIdleConnections, err
}
