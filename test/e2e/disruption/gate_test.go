// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// denialMessage is part of the error for an update that the gate denies.
const denialMessage = "Forbidden: may not be updated"

// updateForbidden sends a dry run of an update that the gate must deny, and returns the error.
func (s *scenario) updateForbidden(ctx context.Context, client kubernetes.Interface, job string) error {
	return client.BatchV1().RESTClient().Patch(types.MergePatchType).MaxRetries(0).
		Namespace(s.namespace).Resource("jobs").Name(job).Param("dryRun", "All").
		Body([]byte(`{"metadata":{"annotations":{"a":"b"}}}`)).Do(ctx).Error()
}

// checkGated returns an error unless the gate denies a forbidden update of the Job.
func (s *scenario) checkGated(job string) error {
	return checkDenied(s.updateForbidden(s.t.Context(), s.Client, job))
}

// checkDenied returns an error unless err is a denial by the gate.
func checkDenied(err error) error {
	if err == nil {
		return errors.New("a forbidden update was accepted")
	}
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), denialMessage) {
		return err
	}
	return nil
}

// hammer sends forbidden updates without pause until during returns. It counts how many were
// accepted and how many the gate denied; it ignores all other errors.
func (s *scenario) hammer(job string, during func()) (accepted, denied int32) {
	return s.hammerAt(s.Client, job, during)
}

// hammerAt is hammer with another client.
func (s *scenario) hammerAt(client kubernetes.Interface, job string, during func()) (accepted, denied int32) {
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var acceptedCount, deniedCount atomic.Int32
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for ctx.Err() == nil {
				if err := s.updateForbidden(ctx, client, job); err == nil {
					acceptedCount.Add(1)
				} else if apierrors.IsInvalid(err) {
					deniedCount.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	during()
	cancel()
	running.Wait()
	return acceptedCount.Load(), deniedCount.Load()
}
