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

// policyGroupPath is the path of Batchgate's own group.
const policyGroupPath = "/apis/policy.batchgate.io/"

// An extra or missing path would break the aggregator's merge of all servers' documents.
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
		// What every server has beside its groups, and the group that is Batchgate's own: the
		// aggregator takes the paths of one group at a time.
		return path == "/apis/" || path == "/version/" || strings.HasPrefix(path, policyGroupPath)
	})
	if diff := cmp.Diff(comparableOpenAPI(want.Paths), comparableOpenAPI(got.Paths)); diff != "" {
		t.Errorf("the paths are not upstream's (-want +got):\n%s", diff)
	}
	for name, definition := range got.Definitions {
		if strings.HasPrefix(name, "io.batchgate.") || strings.HasPrefix(name, "io.k8s.api.rbac.") {
			continue
		}
		if diff := cmp.Diff(comparableOpenAPI(want.Definitions[name]), comparableOpenAPI(definition)); diff != "" {
			t.Errorf("the definition %s is not upstream's (-want +got):\n%s", name, diff)
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
		t.Errorf("the documents are not the wanted ones (-want +got):\n%s", diff)
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
			t.Errorf("the paths of %s are not upstream's (-want +got):\n%s", path, diff)
		}
		if diff := cmp.Diff(comparableOpenAPI(want.Components.Schemas), comparableOpenAPI(got.Components.Schemas)); diff != "" {
			t.Errorf("the schemas of %s are not upstream's (-want +got):\n%s", path, diff)
		}
	}
}

// What kube-apiserver publishes too must not be listed to its aggregator, which would ask this
// server for it, whoever serves v1.batch.
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
		t.Errorf("the documents (-want +got):\n%s", diff)
	}
	for _, document := range root.Paths {
		path, hash, _ := strings.Cut(document.ServerRelativeURL, "?hash=")
		aggregator.do(t, request{method: http.MethodGet, path: path, query: url.Values{"hash": {hash}}}).expect(t, http.StatusOK)
	}
	anonymous := shared.newUserWithCertificate(nil)
	anonymous.do(t, request{method: http.MethodGet, path: "/openapi/v3"}).expect(t, http.StatusForbidden)
}

// The aggregator may ask with the hash of a document before a rollout, and follows no redirect.
func TestOpenAPIV3ServedForAnyHash(t *testing.T) {
	t.Parallel()
	const path = "/openapi/v3/apis/batch/v1"
	want := shared.admin.get(t, path)
	still := &user{server: shared, http: &http.Client{
		Transport:     shared.admin.http.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, hash := range []string{"", "0", strings.Trim(want.header.Get("Etag"), `"`)} {
		got := still.do(t, request{method: http.MethodGet, path: path, query: url.Values{"hash": {hash}}}).expect(t, http.StatusOK)
		if !bytes.Equal(got.body, want.body) {
			t.Errorf("asked for the hash %q, the server answers with another document", hash)
		}
		if got.header.Get("Etag") != want.header.Get("Etag") {
			t.Errorf("asked for the hash %q, the ETag is %s", hash, got.header.Get("Etag"))
		}
	}
}

// comparableOpenAPI returns a part of an OpenAPI document without what the features differ in that
// upstream's files are written with: they have CBOR, and no list of the values of an enum.
// The answer 401 is documented where the server takes tokens, which this one does not; and
// what belongs to every group (DeleteOptions) lists those that the process knows.
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
