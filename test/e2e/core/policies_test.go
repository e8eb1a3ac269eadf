package core

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	clientset "github.com/batchgate/batchgate/pkg/generated/clientset/versioned"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
)

// policies returns the admin's client of policies. Policies hold for the whole cluster, which
// the tests share: each selects the namespace of its test, or has subjects of its own.
func policies(t *testing.T) policyclient.JobUpdatePolicyInterface {
	t.Helper()
	client, err := clientset.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	return client.PolicyV1alpha1().JobUpdatePolicies()
}

// newPolicy returns a policy for everybody and all Jobs in the session's namespace, with
// changes made to its spec. It is not created.
func (s session) newPolicy(suffix string, changes ...func(*v1alpha1.JobUpdatePolicySpec)) *v1alpha1.JobUpdatePolicy {
	p := &v1alpha1.JobUpdatePolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "JobUpdatePolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace + "-" + suffix},
		Spec:       v1alpha1.JobUpdatePolicySpec{NamespaceSelector: s.namespaceSelector()},
	}
	for _, change := range changes {
		change(&p.Spec)
	}
	return p
}

func (s session) namespaceSelector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}}
}

func fields(paths ...string) func(*v1alpha1.JobUpdatePolicySpec) {
	return func(spec *v1alpha1.JobUpdatePolicySpec) { spec.Fields = paths }
}

func warn(spec *v1alpha1.JobUpdatePolicySpec) { spec.Action = v1alpha1.Warn }

func to(subjects ...rbacv1.Subject) func(*v1alpha1.JobUpdatePolicySpec) {
	return func(spec *v1alpha1.JobUpdatePolicySpec) { spec.Subjects = subjects }
}

func user(name string) rbacv1.Subject { return rbacv1.Subject{Kind: rbacv1.UserKind, Name: name} }

// createPolicy creates the policy with kubectl, deletes it after the test, and returns its
// name.
func (s session) createPolicy(p *v1alpha1.JobUpdatePolicy) string {
	s.t.Helper()
	s.deletePolicyLater(p.Name)
	s.stdin(manifest(s.t, p)).run("create", "--filename=-")
	return p.Name
}

// deletePolicyLater deletes a policy after the test, if there is one by then.
func (s session) deletePolicyLater(name string) {
	client := policies(s.t)
	s.t.Cleanup(func() {
		if err := client.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			s.t.Error(err)
		}
	})
}

// editor returns the session of a user, whose name no other test has, who may do with Jobs
// in the namespace what the cluster's role edit says.
func (s session) editor(name string, groups ...string) session {
	s.t.Helper()
	user := name + "-" + s.namespace
	s.run("create", "rolebinding", name, "--clusterrole=edit", "--user="+user)
	return s.as(user, groups...)
}

// granted waits until a command succeeds that only a policy allows.
func (s session) granted(args ...string) {
	s.t.Helper()
	s.eventually("be granted", func() error {
		_, _, err := s.try(args...)
		return err
	})
}

// denied waits until a command, which changes something, is refused by the gate because of
// all of the paths. It is only tried until then, for one that went through would be without
// a change the next time.
func (s session) denied(args []string, paths ...string) {
	s.t.Helper()
	s.eventually("be refused", func() error {
		_, _, err := s.try(append(args[:len(args):len(args)], "--dry-run=server")...)
		return refusedAt(err, paths...)
	})
	_, _, err := s.try(args...)
	if err := refusedAt(err, paths...); err != nil {
		s.t.Error(err)
	}
}

// refusedAt returns nil if err says that the gate has refused changes at all of the paths.
func refusedAt(err error, paths ...string) error {
	if err == nil {
		return fmt.Errorf("it is allowed")
	}
	for _, text := range append(paths, "may not be updated", "no JobUpdatePolicy grants it") {
		if !strings.Contains(err.Error(), text) {
			return fmt.Errorf("the error does not say %q: %w", text, err)
		}
	}
	return nil
}

// onJob returns arguments of kubectl that merge a patch into a Job.
func onJob(job, patch string) []string {
	return []string{"patch", "job", job, "--type=merge", "--patch=" + patch}
}
