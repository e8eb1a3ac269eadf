// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// failedResponses counts lost connections and responses with code 429 or 5xx. client-go hides some
// of them: it retries a request whose response has a Retry-After header.
type failedResponses struct {
	mu     sync.Mutex
	counts map[string]int
}

// countFailedResponses makes the scenario's client count its failed responses until the test ends.
func (s *scenario) countFailedResponses() *failedResponses {
	s.t.Helper()
	failed := &failedResponses{counts: map[string]int{}}
	config := rest.CopyConfig(s.Config)
	config.Wrap(func(inner http.RoundTripper) http.RoundTripper { return countingTransport{inner, failed} })
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		s.t.Fatal(err)
	}
	before := s.Client
	s.Client = client
	s.t.Cleanup(func() { s.Client = before })
	return failed
}

type countingTransport struct {
	http.RoundTripper
	*failedResponses
}

// RoundTrip implements http.RoundTripper.
func (t countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		if r.Context().Err() == nil {
			t.add("no response: " + err.Error())
		}
		return nil, err
	}
	if response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= http.StatusInternalServerError {
		// The aggregator writes the reason as plain text.
		reason, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(bytes.NewReader(reason))
		t.add(response.Status + ": " + string(bytes.TrimSpace(reason)))
	}
	return response, nil
}

// addressPattern matches what differs between responses with the same reason.
var addressPattern = regexp.MustCompile(`[0-9.]+:[0-9]+`)

func (f *failedResponses) add(response string) {
	response = addressPattern.ReplaceAllString(response, "...")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[response]++
}

// String returns the distinct responses and their counts.
func (f *failedResponses) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("%v", f.counts)
}

func (f *failedResponses) total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	total := 0
	for _, count := range f.counts {
		total += count
	}
	return total
}
