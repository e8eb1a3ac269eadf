// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// etcdMessages are the beginnings of etcd errors that kube-apiserver and Batchgate return to the
// client with code 500 and no reason. The request itself is valid, so a client may retry it.
var etcdMessages = []string{
	"etcdserver: leader changed",
	"etcdserver: no leader",
	"etcdserver: request timed out",
	noSpaceMessage,
	// A killed member did not respond. The write may or may not be stored.
	"rpc error: code = Unavailable desc = error reading from server: ",
}

// retriable reports whether a client may retry a request after this error.
func retriable(err error) bool {
	return apierrors.IsServiceUnavailable(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) ||
		causedByEtcd(err) || deniedByImport(err)
}

// connectionLost reports whether the connection to kube-apiserver failed, as it does if that server stops
// before the load balancer notices it. Batchgate cannot cause this: if the connection to it fails,
// kube-apiserver responds with an error.
func connectionLost(err error) bool {
	return utilnet.IsConnectionReset(err) || errors.Is(err, syscall.ECONNREFUSED) || utilnet.IsProbableEOF(err) ||
		err != nil && strings.Contains(err.Error(), "http2: client conn could not be established")
}

// causedByEtcd reports whether a request failed because of etcd.
func causedByEtcd(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return streamReset(err)
	}
	return status.Status().Code == http.StatusInternalServerError &&
		slices.ContainsFunc(etcdMessages, func(message string) bool { return strings.HasPrefix(status.Status().Message, message) })
}

// streamReset reports whether the server aborted the response. Both servers do this instead of
// returning 504 if the request times out while its handler is handling the same timeout.
func streamReset(err error) bool {
	return err != nil && strings.Contains(err.Error(), "stream error: ") && strings.Contains(err.Error(), "; INTERNAL_ERROR; received from peer")
}

// deniedByImport reports whether the freeze or the guard of an import denied a write.
func deniedByImport(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "moved to another etcd: try again") || strings.Contains(err.Error(), "does not proxy requests to Batchgate yet: try again"))
}

// describe returns the code, reason and message that a client sees.
func describe(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return fmt.Sprint(err)
	}
	s := status.Status()
	return fmt.Sprintf("%d %s: %s", s.Code, s.Reason, s.Message)
}
