// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"net"
	"testing"
)

func TestFreePort(t *testing.T) {
	seen := map[int]bool{}
	for range 1000 { // enough that random ports would repeat
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d was returned twice", port)
		}
		seen[port] = true
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
	}
}
