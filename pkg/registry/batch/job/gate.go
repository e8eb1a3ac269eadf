// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/tools/record"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
)

// Gate evaluates updates of Jobs. It is safe for concurrent use.
type Gate struct {
	// Policies holds the compiled JobUpdatePolicies.
	Policies *fieldpolicy.SnapshotStore
	// NamespaceLabels returns the labels of a namespace, or nil if they are unknown. Then only
	// policies for all namespaces count.
	NamespaceLabels func(ctx context.Context, namespace string) labels.Set
	// CachedNamespaceLabels is NamespaceLabels for reviews of Jobs that do not exist. It sends no request.
	CachedNamespaceLabels func(namespace string) labels.Set
	// Events records an Event on the Job for each denied update. Nil records none.
	Events record.EventRecorder
}

// CheckReady returns a 503 error until the policies are loaded, and while they are known to be
// outdated. Without it, the gate would deny every update as if no policy granted it, or use
// outdated policies.
func (g *Gate) CheckReady() error {
	reason := g.Policies.Err()
	if reason == nil {
		return nil
	}
	err := apierrors.NewServiceUnavailable(fmt.Sprintf("updates of Jobs are unavailable, try again: %s; if this persists, check /readyz, etcd and the log of batchgate-apiserver", bounded.Text(reason.Error())))
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return err
}

func (g *Gate) evaluate(ctx context.Context, new, old *batch.Job) (*fieldpolicy.Decision, error) {
	return g.Policies.Get().Evaluate(new, old, userFrom(ctx), func() labels.Set {
		return g.NamespaceLabels(ctx, old.Namespace)
	})
}

func userFrom(ctx context.Context) fieldpolicy.User {
	user, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return fieldpolicy.User{}
	}
	return fieldpolicy.User{Name: user.GetName(), Groups: user.GetGroups()}
}
