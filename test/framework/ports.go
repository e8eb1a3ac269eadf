package framework

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports that are tried. They are below those that Linux gives to outgoing connections,
// one of which could take a port between its choice and its use.
const firstPort, lastPort = 20000, 32000

// freePort returns a port of the loopback interface that nobody listens on.
func freePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("no free port found on 127.0.0.1")
}
