// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const aggregatedDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

func TestDiscoveryMatchesUpstream(t *testing.T) {
	t.Parallel()
	for path, file := range map[string]string{
		"/apis/batch":    "apis__batch.json",
		"/apis/batch/v1": "apis__batch__v1.json",
	} {
		var got, want any
		readUpstreamFile(t, &want, "discovery", file)
		shared.admin.get(t, path).decode(t, &got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs from upstream (-want +got):\n%s", path, diff)
		}
	}
}

func TestAggregatedDiscoveryMatchesUpstream(t *testing.T) {
	t.Parallel()
	batch := func(list map[string]any) []any {
		var groups []any
		for _, item := range list["items"].([]any) {
			if item.(map[string]any)["metadata"].(map[string]any)["name"] == "batch" {
				groups = append(groups, item)
			}
		}
		return groups
	}
	var got, want map[string]any
	readUpstreamFile(t, &want, "discovery", "aggregated_v2.json")
	shared.admin.do(t, request{method: http.MethodGet, path: "/apis", accept: aggregatedDiscovery}).expect(t, http.StatusOK).decode(t, &got)
	if diff := cmp.Diff(batch(want), batch(got)); diff != "" {
		t.Errorf("group batch differs from upstream (-want +got):\n%s", diff)
	}
	if n := len(got["items"].([]any)); n != 2 {
		t.Errorf("got %d groups, want 2: batch and policy.batchgate.io", n)
	}
}
