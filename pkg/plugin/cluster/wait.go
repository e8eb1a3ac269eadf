// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

const (
	// reasonLocal is the reason of the condition Available of an API that kube-apiserver serves
	// itself.
	reasonLocal = "Local"
	// nativeTimeout bounds the wait for kube-apiserver to serve batch/v1 itself.
	nativeTimeout = time.Minute
)

// AwaitAvailable returns a step that waits until kube-apiserver considers the service, as the
// server of v1.batch, available.
func (c *Cluster) AwaitAvailable(service Service, timeout time.Duration) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		began := time.Now()
		var last *APIService
		err := wait.PollUntilContextTimeout(ctx, c.Timing.Poll, timeout, true, func(ctx context.Context) (bool, error) {
			a, err := c.BatchAPIService(ctx)
			if err != nil {
				return false, err
			}
			if !a.ServedBy(service) {
				return false, errServerChanged(a)
			}
			last = a
			// The condition may still be about kube-apiserver.
			return a.Available == string(metav1.ConditionTrue) && a.Reason != reasonLocal, nil
		})
		if err != nil && last != nil {
			return "", fmt.Errorf("%s is not available: %s: %s: %w", policy.BatchAPIService, last.Reason, last.Message, err)
		}
		return "after " + time.Since(began).Round(100*time.Millisecond).String(), err
	}
}

// AwaitNative waits until kube-apiserver serves Jobs itself.
func (c *Cluster) AwaitNative(ctx context.Context) (string, error) {
	began := time.Now()
	var last error
	err := wait.PollUntilContextTimeout(ctx, c.Timing.Poll, nativeTimeout, true, func(ctx context.Context) (bool, error) {
		a, err := c.BatchAPIService(ctx)
		if err != nil {
			return false, err
		}
		if a.Service != nil {
			return false, errServerChanged(a)
		}
		_, last = c.Kube.BatchV1().Jobs(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: 1})
		return a.Available == string(metav1.ConditionTrue) && a.Reason == reasonLocal && last == nil, nil
	})
	if err != nil {
		return "", errors.Join(err, last)
	}
	return "after " + time.Since(began).Round(10*time.Millisecond).String(), nil
}

// AwaitSettled waits until holds has returned true over new connections, without interruption,
// for the settle time. An error of holds ends the wait.
func (c *Cluster) AwaitSettled(ctx context.Context, settle time.Duration, holds func(context.Context, Server) (bool, error)) error {
	return c.awaitSettled(ctx, settle, c.Timing.Switch, holds)
}

func (c *Cluster) awaitSettled(ctx context.Context, settle, timeout time.Duration, holds func(context.Context, Server) (bool, error)) error {
	var since time.Time
	return wait.PollUntilContextTimeout(ctx, c.Timing.Poll, timeout, true, func(ctx context.Context) (bool, error) {
		kube, closeConnection, err := c.NewConnection()
		if err != nil {
			return false, err
		}
		defer closeConnection()
		ok, err := holds(ctx, kube)
		if err != nil || !ok {
			since = time.Time{}
			return false, err
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) >= settle, nil
	})
}
