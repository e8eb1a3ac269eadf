// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"errors"
	"math/rand/v2"
	"net"
)

// FreePort chooses from these ports. They are below the ephemeral ports of Linux: an outgoing
// connection cannot take a port between its choice and its use.
const firstPort, lastPort = 20000, 32000

// FreePort returns an unused port of the loopback interface.
func FreePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		listener, err := net.Listen("tcp", loopback(port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("no free port on 127.0.0.1")
}
