// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package session lets an end-to-end test act as a user who runs kubectl in a namespace of the
// test's own. The suites under test/e2e share it: Main starts one control plane per suite, and each
// test creates a Session on it.
package session

import (
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

// WaitTimeout bounds every wait. It is long, so that a busy machine does not fail a test.
const WaitTimeout = 2 * time.Minute

// Session is a user with kubectl in a namespace that belongs to one test. Copy it to change the
// user, the test or the environment of kubectl.
type Session struct {
	T         *testing.T
	Cluster   *framework.Cluster
	Kubectl   framework.Kubectl
	Namespace string
}

// New takes over v1.batch and returns an admin in a new namespace.
func New(t *testing.T, cluster *framework.Cluster) Session {
	t.Helper()
	return newSession(t, cluster, metav1.ObjectMeta{GenerateName: "e2e-"})
}

// InNamespace is like New, for tests that need a namespace with a given name.
func InNamespace(t *testing.T, cluster *framework.Cluster, name string) Session {
	t.Helper()
	return newSession(t, cluster, metav1.ObjectMeta{Name: name})
}

func newSession(t *testing.T, cluster *framework.Cluster, meta metav1.ObjectMeta) Session {
	t.Helper()
	TakeOver(t, cluster)
	s := Session{T: t, Cluster: cluster, Kubectl: cluster.Kubectl()}
	s.Namespace = s.jobs().CreateNamespace(meta)
	s.jobs().DeleteNamespaceAfterTest()
	return s
}

// WithT returns the session for a subtest.
func (s Session) WithT(t *testing.T) Session {
	s.T = t
	return s
}

// As returns the session for another user, who authenticates with a client certificate.
func (s Session) As(user string, groups ...string) Session {
	s.T.Helper()
	kubectl, err := s.Cluster.KubectlAs(user, groups...)
	if err != nil {
		s.T.Fatal(err)
	}
	s.Kubectl = kubectl
	return s
}

// WithStdin returns the session with input as the standard input of its commands.
func (s Session) WithStdin(input string) Session {
	s.Kubectl = s.Kubectl.WithStdin(input)
	return s
}

// WithEnv returns the session with an additional environment variable for kubectl.
func (s Session) WithEnv(name, value string) Session {
	s.Kubectl = s.Kubectl.WithEnv(name, value)
	return s
}

// WithoutDiscoveryCache returns the session with an empty discovery cache.
func (s Session) WithoutDiscoveryCache() Session {
	return s.WithEnv("KUBECACHEDIR", s.T.TempDir())
}

// Try runs kubectl in the session's namespace. A non-nil error contains standard error.
func (s Session) Try(args ...string) (stdout, stderr string, err error) {
	return s.Kubectl.Run(s.T.Context(), append([]string{"--namespace=" + s.Namespace}, args...)...)
}

// Run runs a command that must succeed and returns its trimmed standard output.
func (s Session) Run(args ...string) string {
	s.T.Helper()
	stdout, _, err := s.Try(args...)
	if err != nil {
		s.T.Fatal(err)
	}
	return strings.TrimSpace(stdout)
}

// RunEventually runs a command until it succeeds.
func (s Session) RunEventually(args ...string) {
	s.T.Helper()
	s.Eventually("run kubectl "+strings.Join(args, " "), func() error {
		_, _, err := s.Try(args...)
		return err
	})
}

// ExpectError runs a command that must fail. The error must contain all texts.
func (s Session) ExpectError(args []string, texts ...string) {
	s.T.Helper()
	stdout, _, err := s.Try(args...)
	if err == nil {
		s.T.Fatalf("kubectl %s succeeded: %s", strings.Join(args, " "), stdout)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			s.T.Errorf("error does not contain %q: %v", text, err)
		}
	}
}

// Eventually calls check until it returns nil, and fails the test after WaitTimeout. The description is a
// verb phrase for the failure message, such as "have the Job removed".
func (s Session) Eventually(description string, check func() error) {
	s.T.Helper()
	Eventually(s.T, description, check)
}

// Eventually is the method of the same name for tests without a session.
func Eventually(t *testing.T, description string, check func() error) {
	t.Helper()
	framework.Eventually(t, WaitTimeout, description, check)
}

// StatusCode returns the HTTP status code that client-go reports in err, or 0.
func StatusCode(err error) int {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return int(status.Status().Code)
	}
	return 0
}

// Manifest returns obj as YAML.
func Manifest(t *testing.T, obj any) string {
	t.Helper()
	content, err := yaml.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
