package jobupdatepolicy

import (
	"context"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
)

// bootstrap makes the bootstrap policies that are missing, and gives those that exist the
// spec they should have, unless they are annotated out. It returns the policies as they are
// then.
//
// A spec is set back as a whole. What RBAC does for its roles, adding what is missing and
// leaving the rest, would grant to everybody what an admin has added for some.
func bootstrap(ctx context.Context, client policyclient.JobUpdatePolicyInterface) ([]*v1alpha1.JobUpdatePolicy, error) {
	var policies []*v1alpha1.JobUpdatePolicy
	for _, wanted := range fieldpolicy.Bootstrap() {
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		p, err := ensure(ctx, client, wanted)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("ensuring JobUpdatePolicy %s: %w", wanted.Name, err)
		}
		policies = append(policies, p)
	}
	return policies, nil
}

func ensure(ctx context.Context, client policyclient.JobUpdatePolicyInterface, wanted *v1alpha1.JobUpdatePolicy) (*v1alpha1.JobUpdatePolicy, error) {
	logger := klog.FromContext(ctx)
	stored, err := client.Get(ctx, wanted.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		wanted.Labels = map[string]string{policy.BootstrapLabel: "true"}
		wanted.Annotations = map[string]string{policy.AutoUpdateAnnotation: "true"}
		created, err := client.Create(ctx, wanted, metav1.CreateOptions{})
		if err == nil {
			logger.Info("Created bootstrap policy", "policy", wanted.Name)
		}
		return created, err
	}
	if err != nil {
		return nil, err
	}
	if stored.Annotations[policy.AutoUpdateAnnotation] == "false" || apiequality.Semantic.DeepEqual(stored.Spec, wanted.Spec) {
		return stored, nil
	}
	restored := stored.DeepCopy()
	restored.Spec = wanted.Spec
	updated, err := client.Update(ctx, restored, metav1.UpdateOptions{})
	if err == nil {
		logger.Info("Restored bootstrap policy; annotate it to keep changes, or grant more by a policy of another name",
			"policy", wanted.Name, "annotation", policy.AutoUpdateAnnotation+"=false", "was", stored.Spec)
	}
	return updated, err
}
