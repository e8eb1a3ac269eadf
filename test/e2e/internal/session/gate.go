// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"slices"
	"strings"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// DeniedMessage is part of the error when the bootstrap policies alone apply.
const DeniedMessage = "may not be updated; updatable fields are metadata.labels, spec.completions, spec.parallelism, spec.selector"

// TakeOver makes Batchgate serve v1.batch, unless it already does.
func TakeOver(t *testing.T, cluster *framework.Cluster) {
	t.Helper()
	if err := cluster.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// RollBack makes kube-apiserver serve v1.batch, unless it already does. Requests may still reach
// Batchgate for a moment; see WaitNative.
func RollBack(t *testing.T, cluster *framework.Cluster) {
	t.Helper()
	if err := cluster.RollBack(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// WaitNative waits until kube-apiserver serves Jobs. It creates the Job pi if it does not exist,
// and annotates it.
func (s Session) WaitNative() {
	s.T.Helper()
	s.Eventually("have Jobs served by kube-apiserver", func() error {
		if _, _, err := s.Try("create", "job", "pi", "--image=example.com/work:1"); err != nil && !strings.Contains(err.Error(), "AlreadyExists") {
			return err
		}
		return s.Annotate("native")
	})
}

// Annotate sets an annotation of the Job pi. No bootstrap policy grants that, so it succeeds only
// if kube-apiserver serves Jobs itself.
func (s Session) Annotate(value string) error {
	_, _, err := s.Try("annotate", "--overwrite", "job", "pi", "by="+value)
	return err
}

// AuditedPatches returns the events of Batchgate's audit log for patches of a Job.
func (s Session) AuditedPatches(job string) ([]auditv1.Event, error) {
	events, _, err := s.Cluster.AuditEvents(0, "/namespaces/"+s.Namespace+"/jobs/"+job)
	return slices.DeleteFunc(events, func(event auditv1.Event) bool { return event.Verb != "patch" }), err
}
