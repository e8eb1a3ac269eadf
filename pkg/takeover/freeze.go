package takeover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

const (
	// freezeName is that of the ValidatingAdmissionPolicy and its binding by which every server
	// refuses writes, and guardName of those by which kube-apiserver does, for as long as the Jobs are in an
	// etcd that it does not have.
	freezeName, guardName = "batchgate-freeze", "batchgate-guard"
	// frozenMessage and guardMessage are what writers are told.
	frozenMessage = "Jobs and CronJobs cannot be changed while they are moved to another etcd: try again in a minute"
	guardMessage  = "Jobs and CronJobs are in the etcd of Batchgate, and this kube-apiserver does not pass requests on to it yet: try again"
	// enforcedBy is a label of the guard's binding, which Batchgate leaves to kube-apiserver.
	enforcedBy = "batchgate.io/enforced-by"
	// settleTime is how long something must hold, as seen by new connections, for every
	// kube-apiserver to have heard of it.
	settleTime = 10 * time.Second
	// webhookTimeout is the default one.
	webhookTimeout = 10 * time.Second
)

// refusal returns a policy that refuses every write of Jobs and CronJobs, by whomever, and its
// binding.
func refusal(name, message string) (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding) {
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
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
			Validations: []admissionv1.Validation{{Expression: "false", Message: message}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	return policy, binding
}

// refuse creates a refusal, and returns the UID of its binding. The error is that it is there
// already where it is.
func (c *Cluster) refuse(ctx context.Context, policy *admissionv1.ValidatingAdmissionPolicy, binding *admissionv1.ValidatingAdmissionPolicyBinding) (types.UID, error) {
	client := c.Kube.AdmissionregistrationV1()
	_, err := client.ValidatingAdmissionPolicies().Create(ctx, policy, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", err
	}
	made, err := client.ValidatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return made.UID, nil
}

// allow deletes a refusal, if the binding still has that UID, or whatever it has if that is empty.
// It succeeds where there is nothing to do.
func (c *Cluster) allow(ctx context.Context, name string, uid types.UID) error {
	client := c.Kube.AdmissionregistrationV1()
	opts := metav1.DeleteOptions{}
	if uid != "" {
		opts.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	err := client.ValidatingAdmissionPolicyBindings().Delete(ctx, name, opts)
	if err == nil || apierrors.IsNotFound(err) {
		err = client.ValidatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("letting writes through: %w; run: kubectl delete validatingadmissionpolicybinding %s", err, name)
	}
	return nil
}

// movePermissions are what moving Jobs needs besides those of a takeover.
func movePermissions() []authorizationv1.ResourceAttributes {
	needed := []authorizationv1.ResourceAttributes{
		{Group: "batch", Resource: "jobs", Verb: "create"},
		{Group: "batch", Resource: "jobs", Verb: "delete"},
		{Resource: "namespaces", Name: metav1.NamespaceSystem, Verb: "get"},
	}
	needed = append(needed, authorizationv1.ResourceAttributes{Group: "batch", Resource: "jobs", Verb: "get"},
		authorizationv1.ResourceAttributes{Group: admissionv1.GroupName, Resource: "validatingwebhookconfigurations", Verb: "list"})
	for _, resource := range []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"} {
		for _, verb := range []string{"create", "delete", "get"} {
			needed = append(needed, authorizationv1.ResourceAttributes{Group: admissionv1.GroupName, Resource: resource, Verb: verb})
		}
	}
	return needed
}

// errFrozen is the error of whoever finds a freeze that is not its own.
var errFrozen = errors.New("writes are refused already, by an import or a rollback that is at work, or was killed: if none is at work, give --resume")

// checkFrozen returns an error if somebody else refuses writes.
func (c *Cluster) checkFrozen(resume bool) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		frozen, err := c.frozen(ctx)
		if err == nil && frozen && !resume {
			err = errFrozen
		}
		return "nobody else is at work", err
	}
}

// freeze refuses all writes from now on, waits until all servers do, and until what was admitted
// before is over.
func (c *Cluster) freeze(ctx context.Context, resume bool, direct kubernetes.Interface) (types.UID, string, error) {
	if resume {
		if err := c.allow(ctx, freezeName, ""); err != nil {
			return "", "", err
		}
	}
	policy, binding := refusal(freezeName, frozenMessage)
	uid, err := c.refuse(ctx, policy, binding)
	if apierrors.IsAlreadyExists(err) {
		return "", "", errFrozen
	}
	if err != nil {
		return "", "", fmt.Errorf("refusing writes: %w", err)
	}
	settle, err := c.admissionTime(ctx)
	if err != nil {
		return uid, "", err
	}
	if err := c.awaitWrites(ctx, true, settle, direct); err != nil {
		return uid, "", fmt.Errorf("waiting for all servers to refuse writes: %w", err)
	}
	return uid, fmt.Sprintf("kube-apiserver and Batchgate have refused writes of Jobs and CronJobs for %s", settle), nil
}

// admissionTime is how long a write may take from a policy's decision to etcd: a webhook may
// come between.
func (c *Cluster) admissionTime(ctx context.Context) (time.Duration, error) {
	list, err := c.Kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("reading how long webhooks may take: %w", err)
	}
	longest := time.Duration(0)
	for _, configuration := range list.Items {
		for _, webhook := range configuration.Webhooks {
			for _, rule := range webhook.Rules {
				if slices.Contains(rule.APIGroups, "batch") || slices.Contains(rule.APIGroups, "*") {
					longest = max(longest, webhookTimeout)
					if webhook.TimeoutSeconds != nil {
						longest = max(longest, time.Duration(*webhook.TimeoutSeconds)*time.Second)
					}
				}
			}
		}
	}
	return settleTime + longest, nil
}

// holds returns an error if the freeze is not the one with that UID any more.
func (c *Cluster) holds(uid types.UID) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		binding, err := c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, freezeName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && binding.UID != uid {
			return "", errors.New("somebody has let writes through meanwhile")
		}
		return "writes have been refused all the time", err
	}
}

// thaw lets writes through again, and waits until they are.
func (c *Cluster) thaw(uid types.UID) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if err := c.allow(ctx, freezeName, uid); err != nil {
			return "", err
		}
		if err := c.awaitWrites(ctx, false, time.Second); err != nil {
			return "", fmt.Errorf("waiting for writes to be let through: %w", err)
		}
		return "writes are let through again", nil
	}
}

// guard lets kube-apiserver refuse writes, but not Batchgate.
func (c *Cluster) guard(ctx context.Context) error {
	policy, binding := refusal(guardName, guardMessage)
	binding.Labels = map[string]string{enforcedBy: "kube-apiserver"}
	if _, err := c.refuse(ctx, policy, binding); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("letting kube-apiserver refuse writes: %w", err)
	}
	return nil
}

// frozen reports whether writes are refused, as far as the cluster's objects tell.
func (c *Cluster) frozen(ctx context.Context) (bool, error) { return c.bound(ctx, freezeName) }

func (c *Cluster) bound(ctx context.Context, name string) (bool, error) {
	_, err := c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
