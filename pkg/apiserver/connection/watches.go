// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"net/http"
	"strings"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// RecordWatches wraps the transport of the informers' client. It records when lists and watches
// of whole resources succeed. An informer itself reports no errors: while its watch fails, for
// example because a permission is missing, it keeps its cache and retries.
func RecordWatches(transport http.RoundTripper) http.RoundTripper { return watchRecorder{transport} }

type watchRecorder struct{ http.RoundTripper }

var _ utilnet.RoundTripperWrapper = watchRecorder{}

// RoundTrip implements http.RoundTripper.
func (r watchRecorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.RoundTripper.RoundTrip(req)
	if err == nil && req.Method == http.MethodGet && resp.StatusCode == http.StatusOK {
		if resource := resourceOf(req.URL.Path); resource != "" {
			lastWatch.WithLabelValues(resource).Set(float64(time.Now().Unix()))
		}
	}
	return resp, err
}

// WrappedRoundTripper implements net.RoundTripperWrapper.
func (r watchRecorder) WrappedRoundTripper() http.RoundTripper { return r.RoundTripper }

// resourceOf returns the resource that a path lists or watches in all namespaces, such as
// resourcequotas or flowschemas.flowcontrol.apiserver.k8s.io. It returns "" for other paths.
func resourceOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) == 3 && parts[0] == "api":
		return parts[2]
	case len(parts) == 4 && parts[0] == "apis":
		return parts[3] + "." + parts[1]
	}
	return ""
}
