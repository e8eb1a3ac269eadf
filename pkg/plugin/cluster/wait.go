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
				return false, ServerChanged(a)
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
			return false, ServerChanged(a)
		}
		_, last = c.Kube.BatchV1().Jobs(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: 1})
		return a.Available == string(metav1.ConditionTrue) && a.Reason == reasonLocal && last == nil, nil
	})
	if err != nil {
		return "", errors.Join(err, last)
	}
	return "after " + time.Since(began).Round(10*time.Millisecond).String(), nil
}

// AwaitSettled waits until check has succeeded, without interruption, for the settle time: over new
// connections to kube-apiserver, on each kube-apiserver that can be found, and on the other
// servers. It describes the kube-apiservers that it found. A Permanent error of check ends the wait.
func (c *Cluster) AwaitSettled(ctx context.Context, settle, timeout time.Duration, check func(context.Context, Server) error, others ...Server) (string, error) {
	var since time.Time
	found, refresh := &endpoints{}, true
	var last error
	err := wait.PollUntilContextTimeout(ctx, c.Timing.Poll, timeout, true, func(ctx context.Context) (bool, error) {
		if refresh {
			found, refresh = c.findEndpoints(ctx, found), false
		}
		if err := c.checkAll(ctx, found, others, check); err != nil {
			if last == nil || ctx.Err() == nil {
				last = err // but not an error that the end of the wait causes
			}
			// A kube-apiserver that stops is soon no longer listed.
			since, refresh = time.Time{}, true
			if errors.As(err, &permanent{}) {
				return false, err
			}
			return false, nil
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) >= settle, nil
	})
	switch {
	case err == nil:
		return found.describe(), nil
	case wait.Interrupted(err) && last != nil:
		return "", fmt.Errorf("%w: %w", err, last)
	}
	return "", err
}

// checkAll calls check with a new connection to kube-apiserver, to each endpoint, and with the
// others.
func (c *Cluster) checkAll(ctx context.Context, found *endpoints, others []Server, check func(context.Context, Server) error) error {
	kube, closeConnection, err := c.NewConnection()
	if err != nil {
		return Permanent(err)
	}
	defer closeConnection()
	for _, s := range append([]Server{kube}, others...) {
		if err := check(ctx, s); err != nil {
			return err
		}
	}
	for _, address := range found.reachable {
		if err := c.withConnection(address, func(kube Server) error { return check(ctx, kube) }); err != nil {
			return fmt.Errorf("kube-apiserver at %s: %w", address, err)
		}
	}
	return nil
}

// permanent is an error that waiting does not resolve.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that ends AwaitSettled.
func Permanent(err error) error {
	return permanent{err}
}
