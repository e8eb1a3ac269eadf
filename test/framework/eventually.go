// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"testing"
	"time"
)

// Eventually polls check until it returns nil. It ends the test after the timeout, with the
// last error. The description completes "waited 2m to ...".
func Eventually(t testing.TB, timeout time.Duration, description string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s to %s: %v", timeout, description, err)
		}
		time.Sleep(pollInterval)
	}
}
