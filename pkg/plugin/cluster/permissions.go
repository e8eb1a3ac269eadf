// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// APIServicePermission returns the permission for a verb on the APIService of that name. An empty
// name means all.
func APIServicePermission(verb, name string) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{Group: apiregistrationv1.GroupName, Resource: "apiservices", Name: name, Verb: verb}
}

// APIServicePermissions returns the permissions on v1.batch that a takeover and a rollback need.
// A rollback deletes and recreates the object.
func APIServicePermissions() []authorizationv1.ResourceAttributes {
	needed := []authorizationv1.ResourceAttributes{APIServicePermission("create", "")}
	for _, verb := range []string{"get", "patch", "delete"} {
		needed = append(needed, APIServicePermission(verb, policy.BatchAPIService))
	}
	return needed
}

// CheckPermissions fails if the user lacks one of the permissions.
func (c *Cluster) CheckPermissions(ctx context.Context, needed []authorizationv1.ResourceAttributes) (string, error) {
	var missing []string
	for _, attributes := range needed {
		review, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
			&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes}}, metav1.CreateOptions{})
		if err != nil {
			return "", fmt.Errorf("checking the user's permissions: %w", err)
		}
		permission := attributes.Verb + " " + attributes.Resource
		if attributes.Subresource != "" {
			permission += "/" + attributes.Subresource
		}
		if !review.Status.Allowed && !slices.Contains(missing, permission) {
			missing = append(missing, permission)
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("the user may not %s: run this as a cluster admin", strings.Join(missing, ", "))
	}
	return fmt.Sprintf("%d permissions", len(needed)), nil
}
