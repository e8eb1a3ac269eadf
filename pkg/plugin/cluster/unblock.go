// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

const (
	// UnblockCommand ends the deadlock that Blocked detects.
	UnblockCommand = "kubectl batchgate unblock"

	// autoregisterCheck is the health check of kube-apiserver that waits until all APIServices of
	// APIs that it serves itself have been available once.
	autoregisterCheck = "/readyz/autoregister-completion"

	// The condition that SetAvailable writes. The availability controller of kube-apiserver
	// replaces it within seconds.
	unblockReason  = "BatchgateUnblock"
	unblockMessage = "set by kubectl batchgate unblock, so that kube-apiserver becomes ready and Batchgate can start"
)

// Blocked reports whether kube-apiserver is not ready because it waits for an APIService, such as
// v1.batch, to become available.
func Blocked(ctx context.Context, kube Server) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err := kube.Read(ctx, autoregisterCheck, ReadOptions{})
	var status apierrors.APIStatus
	switch {
	case err == nil || apierrors.IsNotFound(err):
		return false, nil
	case errors.As(err, &status) && status.Status().Code == http.StatusInternalServerError:
		return true, nil
	}
	return false, fmt.Errorf("reading %s of kube-apiserver: %w", autoregisterCheck, err)
}

// UnblockPermissions returns the permissions that SetAvailable needs.
func UnblockPermissions() []authorizationv1.ResourceAttributes {
	patch := APIServicePermission("patch", policy.BatchAPIService)
	patch.Subresource = "status"
	return []authorizationv1.ResourceAttributes{APIServicePermission("get", policy.BatchAPIService), patch}
}

// SetAvailable sets the condition Available of v1.batch to True, if it points to the service and
// is not available. It changes only the status, so that v1.batch still points to the service.
func (c *Cluster) SetAvailable(ctx context.Context, service Service) error {
	client := c.APIServices.ApiregistrationV1().APIServices()
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		obj, err := client.Get(ctx, policy.BatchAPIService, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("reading APIService %s: %w", policy.BatchAPIService, err)
		}
		if a := apiServiceFrom(obj); !a.RefersTo(service) {
			return ServerChanged(a)
		}
		conditions := []apiregistrationv1.APIServiceCondition{{
			Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Now()),
			Reason: unblockReason, Message: unblockMessage,
		}}
		for _, condition := range obj.Status.Conditions {
			if condition.Type != apiregistrationv1.Available {
				conditions = append(conditions, condition)
			}
		}
		body, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": obj.ResourceVersion},
			"status":   map[string]any{"conditions": conditions},
		})
		if err != nil {
			return err
		}
		_, err = client.Patch(ctx, policy.BatchAPIService, types.MergePatchType, body, metav1.PatchOptions{FieldManager: policy.PluginFieldManager}, "status")
		if err != nil {
			return fmt.Errorf("patching the status of APIService %s: %w", policy.BatchAPIService, err)
		}
		return nil
	})
}
