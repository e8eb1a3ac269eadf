// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
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
	"github.com/batchgate/batchgate/test/framework"
)

// Policies returns a client for JobUpdatePolicies, as an admin. Tests share the cluster, and
// policies are cluster-scoped: each policy must select the namespace of its test, or name subjects
// that only its test uses.
func Policies(t *testing.T, cluster *framework.Cluster) policyclient.JobUpdatePolicyInterface {
	t.Helper()
	client, err := clientset.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	return client.PolicyV1alpha1().JobUpdatePolicies()
}

// NewPolicy returns a policy for all users and all Jobs in the session's namespace, after applying
// changes to its spec. It does not create the policy.
func (s Session) NewPolicy(suffix string, changes ...func(*v1alpha1.JobUpdatePolicySpec)) *v1alpha1.JobUpdatePolicy {
	p := &v1alpha1.JobUpdatePolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "JobUpdatePolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Namespace + "-" + suffix},
		Spec:       v1alpha1.JobUpdatePolicySpec{NamespaceSelector: s.NamespaceSelector()},
	}
	for _, change := range changes {
		change(&p.Spec)
	}
	return p
}

// NamespaceSelector selects the session's namespace by name.
func (s Session) NamespaceSelector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.Namespace}}
}

// Fields sets the fields that a policy grants.
func Fields(paths ...string) func(*v1alpha1.JobUpdatePolicySpec) {
	return func(spec *v1alpha1.JobUpdatePolicySpec) { spec.Fields = paths }
}

// Warn sets the action of a policy to Warn.
func Warn(spec *v1alpha1.JobUpdatePolicySpec) { spec.Action = v1alpha1.Warn }

// Subjects sets the subjects of a policy.
func Subjects(subjects ...rbacv1.Subject) func(*v1alpha1.JobUpdatePolicySpec) {
	return func(spec *v1alpha1.JobUpdatePolicySpec) { spec.Subjects = subjects }
}

// CreatePolicy creates the policy with kubectl, deletes it after the test, and returns its name.
func (s Session) CreatePolicy(p *v1alpha1.JobUpdatePolicy) string {
	s.T.Helper()
	s.DeletePolicyAfterTest(p.Name)
	s.WithStdin(Manifest(s.T, p)).Run("create", "--filename=-")
	return p.Name
}

// DeletePolicyAfterTest deletes a policy after the test if it exists then.
func (s Session) DeletePolicyAfterTest(name string) {
	s.T.Helper()
	client := Policies(s.T, s.Cluster)
	s.T.Cleanup(func() {
		if err := client.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			s.T.Error(err)
		}
	})
}

// PolicyField returns the value of a JSONPath expression for a policy, as kubectl prints it.
func (s Session) PolicyField(name, path string) string {
	s.T.Helper()
	return s.Run("get", "jup", name, "--output=jsonpath={"+path+"}")
}

// Editor returns the session for a user who has the ClusterRole edit in the namespace. The user's
// name is name followed by the namespace, so that no other test has the same user.
func (s Session) Editor(name string, groups ...string) Session {
	s.T.Helper()
	user := name + "-" + s.Namespace
	s.Run("create", "rolebinding", name, "--clusterrole=edit", "--user="+user)
	return s.As(user, groups...)
}

// ExpectDenied waits until the gate denies a command that changes a Job, naming all paths. Until
// then it uses --dry-run=server: a command that succeeds changes nothing when it is repeated, so
// the gate would never deny it.
func (s Session) ExpectDenied(args []string, paths ...string) {
	s.T.Helper()
	s.Eventually("have the gate deny kubectl "+strings.Join(args, " "), func() error {
		_, _, err := s.Try(append(args[:len(args):len(args)], "--dry-run=server")...)
		return CheckDenied(err, paths...)
	})
	_, _, err := s.Try(args...)
	if err := CheckDenied(err, paths...); err != nil {
		s.T.Error(err)
	}
}

// CheckDenied returns nil if err says that the gate denied changes of all paths.
func CheckDenied(err error, paths ...string) error {
	if err == nil {
		return errors.New("the update was allowed")
	}
	for _, text := range append(paths, "may not be updated", "no JobUpdatePolicy grants this change") {
		if !strings.Contains(err.Error(), text) {
			return fmt.Errorf("error does not contain %q: %w", text, err)
		}
	}
	return nil
}
