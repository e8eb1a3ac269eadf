// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// kubectl apply --force recreates a Job after any 422 response. kubectl apply also updates its
// annotation. So without a policy for the annotation every update gets 422, even one of updatable
// fields.
func TestForcedApplyRecreatesJobUnlessGranted(t *testing.T) {
	t.Parallel()
	const warning = "Warning: kubectl apply --force and Argo CD with Force=true delete and recreate a Job whose update is denied; "
	s := session.New(t, cluster)
	apply := func(n int32, flag string) (stderr string, err error) {
		t.Helper()
		input, args := clientSideApply(s, session.NewJob("pi", parallelism(n)))
		_, stderr, err = input.Try(append(args, flag)...)
		return stderr, err
	}
	force := func(n int32) (stderr string) {
		t.Helper()
		stderr, err := apply(n, "--force")
		if err != nil {
			t.Fatal(err)
		}
		if got := *s.Job("pi").Spec.Parallelism; got != n {
			t.Errorf("parallelism is %d after kubectl apply --force, want %d", got, n)
		}
		return stderr
	}
	force(1)
	created := s.Job("pi").UID
	stderr, err := apply(2, "--dry-run=server")
	expectDenied(s, err, lastApplied)
	if strings.Count(stderr, warning) != 1 {
		t.Errorf("dry run printed %q, want one %q", stderr, warning)
	}
	if stderr := force(2); strings.Count(stderr, warning) != 1 {
		t.Errorf("kubectl apply --force printed %q, want one %q", stderr, warning)
	}
	recreated := s.Job("pi").UID
	if recreated == created {
		t.Error("kubectl apply --force has not recreated the Job whose update was denied")
	}

	s.CreatePolicy(s.NewPolicy("client-side-apply", func(spec *v1alpha1.JobUpdatePolicySpec) {
		spec.Fields = readExample(t, "client-side-apply").spec.Fields
	}))
	s.Eventually("grant the annotation", func() error {
		_, err := apply(3, "--dry-run=server")
		return err
	})
	if stderr := force(3); strings.Contains(stderr, warning) {
		t.Errorf("kubectl apply --force printed %q although the update is granted", stderr)
	}
	if got := s.Job("pi").UID; got != recreated {
		t.Errorf("kubectl apply --force recreated the Job although the update is granted: UID is %s, want %s", got, recreated)
	}

	// kubectl replace --force deletes the Job without trying to update it.
	s.WithStdin(session.Manifest(t, session.NewJob("pi"))).Run("replace", "--force", "--filename=-")
	if s.Job("pi").UID == recreated {
		t.Error("kubectl replace --force has not recreated the Job")
	}
}
