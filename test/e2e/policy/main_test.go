// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policy tests JobUpdatePolicies: which updates they allow, what users see of the decision,
// the API of the policies themselves, and the example policies in artifacts/examples.
package policy

import (
	"context"
	"path/filepath"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

var cluster *framework.Cluster

func TestMain(m *testing.M) {
	session.Main(m, framework.MainOptions{
		Cluster:        &cluster,
		ClusterOptions: framework.ClusterOptions{BatchgateArgs: []string{"--record-events"}},
		Setup: func(ctx context.Context, _ string) error {
			root, err := framework.Root()
			if err != nil {
				return err
			}
			_, _, err = cluster.Kubectl().Run(ctx, "apply", "--filename="+filepath.Join(root, "artifacts", "components", "events", "rbac.yaml"))
			return err
		},
	})
}

func userSubject(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.UserKind, Name: name}
}
