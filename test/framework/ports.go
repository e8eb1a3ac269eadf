// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// FreePort chooses from these ports. They are below the ephemeral ports of Linux: an outgoing
// connection cannot take a port between its choice and its use.
const firstPort, lastPort = 20000, 32000

// FreePort returns an unused port of the loopback interface. No later call returns it again, in this
// process or in another one that runs at the same time, although nothing listens on it yet.
func FreePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		// An abstract socket, which leaves no file behind, reserves the port until this process ends.
		reservation, err := net.Listen("unix", fmt.Sprintf("@batchgate-test-port-%d", port))
		if err != nil {
			continue
		}
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			reservation.Close()
			continue
		}
		reservations.Store(port, reservation)
		return port, listener.Close()
	}
	return 0, errors.New("no free port on 127.0.0.1")
}

// reservations keeps the garbage collector from closing the sockets.
var reservations sync.Map
