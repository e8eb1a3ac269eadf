// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"k8s.io/client-go/kubernetes"
)

// getBatchgate reads a health check or the metrics directly from Batchgate, as a kubelet or
// Prometheus does.
func (s *scenario) getBatchgate(path string, excludedChecks ...string) (code int, body string) {
	s.t.Helper()
	client, err := kubernetes.NewForConfig(s.DirectConfig())
	if err != nil {
		s.t.Fatal(err)
	}
	request := client.Discovery().RESTClient().Get().AbsPath(path)
	for _, check := range excludedChecks {
		request = request.Param("exclude", check)
	}
	result := request.Do(s.t.Context()).StatusCode(&code)
	content, _ := result.Raw()
	return code, string(content)
}

// metric returns the sum of all samples of a Batchgate metric that have these labels, each written
// like `group="batch"`. It ignores samples without any label.
func (s *scenario) metric(name string, labels ...string) (sum float64) {
	s.t.Helper()
	code, body := s.getBatchgate("/metrics")
	if code != http.StatusOK {
		s.t.Fatalf("/metrics: %d %s", code, body)
	}
	for line := range strings.Lines(body) {
		var value float64
		sample, number, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.HasPrefix(sample, name+"{") || slices.ContainsFunc(labels, func(label string) bool { return !strings.Contains(sample, label) }) {
			continue
		}
		if _, err := fmt.Sscan(number, &value); err != nil {
			s.t.Fatalf("reading %q: %v", line, err)
		}
		sum += value
	}
	return sum
}
