// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// policyGroupPath is the path of Batchgate's policy API group.
const policyGroupPath = "/apis/policy.batchgate.io/"

// The aggregator merges the documents of all servers. An extra or missing path breaks that.
func TestOpenAPIV2MatchesUpstream(t *testing.T) {
	t.Parallel()
	var got, want struct {
		Paths       map[string]any `json:"paths"`
		Definitions map[string]any `json:"definitions"`
	}
	readUpstreamFile(t, &want, "openapi-spec", "swagger.json")
	shared.admin.get(t, "/openapi/v2").decode(t, &got)
	maps.DeleteFunc(want.Paths, func(path string, _ any) bool { return !strings.HasPrefix(path, "/apis/batch/") })
	maps.DeleteFunc(got.Paths, func(path string, _ any) bool {
		// The aggregator takes only the paths of API groups, one group at a time. So the general
		// paths and the policy group do not affect batch.
		return path == "/apis/" || path == "/version/" || strings.HasPrefix(path, policyGroupPath)
	})
	if diff := cmp.Diff(comparableOpenAPI(want.Paths), comparableOpenAPI(got.Paths)); diff != "" {
		t.Errorf("paths differ from upstream (-want +got):\n%s", diff)
	}
	for name, definition := range got.Definitions {
		if strings.HasPrefix(name, "io.batchgate.") || strings.HasPrefix(name, "io.k8s.api.rbac.") {
			continue
		}
		if diff := cmp.Diff(comparableOpenAPI(want.Definitions[name]), comparableOpenAPI(definition)); diff != "" {
			t.Errorf("definition %s differs from upstream (-want +got):\n%s", name, diff)
		}
	}
}

func TestOpenAPIV3MatchesUpstream(t *testing.T) {
	t.Parallel()
	var root struct {
		Paths map[string]any `json:"paths"`
	}
	shared.admin.get(t, "/openapi/v3").decode(t, &root)
	if diff := cmp.Diff([]string{"apis", "apis/batch", "apis/batch/v1", "apis/policy.batchgate.io", "apis/policy.batchgate.io/v1alpha1", "version"}, slices.Sorted(maps.Keys(root.Paths))); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	for path, file := range map[string]string{
		"apis/batch":    "apis__batch_openapi.json",
		"apis/batch/v1": "apis__batch__v1_openapi.json",
	} {
		var got, want struct {
			Paths      any `json:"paths"`
			Components struct {
				Schemas any `json:"schemas"`
			} `json:"components"`
		}
		readUpstreamFile(t, &want, "openapi-spec", "v3", file)
		shared.admin.get(t, "/openapi/v3/"+path).decode(t, &got)
		if diff := cmp.Diff(comparableOpenAPI(want.Paths), comparableOpenAPI(got.Paths)); diff != "" {
			t.Errorf("paths of %s differ from upstream (-want +got):\n%s", path, diff)
		}
		if diff := cmp.Diff(comparableOpenAPI(want.Components.Schemas), comparableOpenAPI(got.Components.Schemas)); diff != "" {
			t.Errorf("schemas of %s differ from upstream (-want +got):\n%s", path, diff)
		}
	}
}

// The server must not list documents that kube-apiserver publishes too. Otherwise the aggregator
// would request them from this server even if v1.batch is served by kube-apiserver.
func TestOpenAPIV3AggregatorSeesPolicyGroupOnly(t *testing.T) {
	t.Parallel()
	aggregator, err := shared.newUser("system:aggregator", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		Paths map[string]struct{ ServerRelativeURL string } `json:"paths"`
	}
	aggregator.get(t, "/openapi/v3").decode(t, &root)
	if diff := cmp.Diff([]string{"apis/policy.batchgate.io", "apis/policy.batchgate.io/v1alpha1"}, slices.Sorted(maps.Keys(root.Paths))); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	for _, document := range root.Paths {
		path, hash, _ := strings.Cut(document.ServerRelativeURL, "?hash=")
		aggregator.do(t, request{method: http.MethodGet, path: path, query: url.Values{"hash": {hash}}}).expect(t, http.StatusOK)
	}
	anonymous := shared.newUserWithCertificate(nil)
	anonymous.do(t, request{method: http.MethodGet, path: "/openapi/v3"}).expect(t, http.StatusForbidden)
}

// The aggregator may send the hash of a document from before a rollout, and it follows no redirects.
func TestOpenAPIV3ServedForAnyHash(t *testing.T) {
	t.Parallel()
	const path = "/openapi/v3/apis/batch/v1"
	want := shared.admin.get(t, path)
	noRedirects := &user{server: shared, http: &http.Client{
		Transport:     shared.admin.http.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, hash := range []string{"", "0", strings.Trim(want.header.Get("Etag"), `"`)} {
		got := noRedirects.do(t, request{method: http.MethodGet, path: path, query: url.Values{"hash": {hash}}}).expect(t, http.StatusOK)
		if !bytes.Equal(got.body, want.body) {
			t.Errorf("hash %q: got another document", hash)
		}
		if got.header.Get("Etag") != want.header.Get("Etag") {
			t.Errorf("hash %q: got ETag %s", hash, got.header.Get("Etag"))
		}
	}
}

// comparableOpenAPI removes expected differences from a part of an OpenAPI document. Upstream's files
// are generated with other features: they contain CBOR and no enum values. They document response
// 401, because that server accepts tokens. Types shared by all groups, such as DeleteOptions, list
// the groups that the process knows.
func comparableOpenAPI(part any) any {
	switch part := part.(type) {
	case map[string]any:
		kept := map[string]any{}
		for key, value := range part {
			if kinds, ok := value.([]any); ok && key == "x-kubernetes-group-version-kind" && len(kinds) > 1 {
				continue
			}
			if key != "401" && key != "enum" && !strings.Contains(key, "cbor") {
				kept[key] = comparableOpenAPI(value)
			}
		}
		return kept
	case []any:
		var kept []any
		for _, value := range part {
			if s, ok := value.(string); !ok || !strings.Contains(s, "cbor") {
				kept = append(kept, comparableOpenAPI(value))
			}
		}
		return kept
	case string:
		description, _, _ := strings.Cut(part, "\n\nPossible enum values:")
		return description
	}
	return part
}
