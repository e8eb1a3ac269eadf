package options

import (
	"net/http"

	genericapiserver "k8s.io/apiserver/pkg/server"
)

// drain lets a server that is asked to end lose no request of clients that reuse connections
// of HTTP/1.1: from then on each answer says that its connection is closed after it. So within
// the shutdown delay those clients come by new connections, which get to other replicas, and
// no connection that is in use is closed without a word.
//
// A watch would be the exception, since it has answered already. When it ends, its connection
// would be the first to be used again, at the moment at which it is closed. So a watch has a
// connection of its own, from the beginning.
//
// HTTP/2 has no such way, see docs/architecture.md.
func drain(handler http.Handler, config *genericapiserver.Config) http.Handler {
	shutdown := config.ShutdownInitiatedNotify()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && (closed(shutdown) || longRunning(config, r)) {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
}

func closed(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}

func longRunning(config *genericapiserver.Config, r *http.Request) bool {
	info, err := config.RequestInfoResolver.NewRequestInfo(r)
	return err == nil && config.LongRunningFunc(r, info)
}
