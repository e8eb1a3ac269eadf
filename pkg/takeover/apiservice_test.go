package takeover

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The plugin does what the patches in artifacts do by hand.
func TestPatchesAreThoseOfTheArtifacts(t *testing.T) {
	service := Service{Namespace: "batchgate-system", Name: "batchgate-apiserver"}
	takeover := takeoverPatch(service, []byte("ca"), nil, "1")
	delete(takeover["metadata"].(map[string]any), "resourceVersion")
	rollback := rollbackPatch()
	delete(rollback["spec"].(map[string]any), "insecureSkipTLSVerify") // nothing of this project sets it
	for name, got := range map[string]map[string]any{"takeover": takeover, "rollback": rollback} {
		content, err := os.ReadFile(filepath.Join("..", "..", "artifacts", "apiservice", name, "patch.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{}
		if err := yaml.Unmarshal(content, &want); err != nil {
			t.Fatal(err)
		}
		spec := want["spec"].(map[string]any)
		if spec["caBundle"] != nil {
			spec["caBundle"] = base64.StdEncoding.EncodeToString([]byte("ca"))
		} else {
			// By hand the priorities are left as they are: takeover does not change them.
			spec["groupPriorityMinimum"], spec["versionPriority"] = float64(groupPriority), float64(versionPriority)
		}
		if diff := cmp.Diff(want, roundTrip(t, got)); diff != "" {
			t.Errorf("%s (-artifacts +plugin):\n%s", name, diff)
		}
	}
}

func roundTrip(t *testing.T, in map[string]any) map[string]any {
	t.Helper()
	content, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestServingIsReadFromTheAPIService(t *testing.T) {
	for name, tc := range map[string]struct {
		apiService string
		want       Serving
		server     string
	}{
		"kube-apiserver": {
			`{"metadata":{"name":"v1.batch","resourceVersion":"7","labels":{"kube-aggregator.kubernetes.io/automanaged":"onstart"}},
			  "status":{"conditions":[{"type":"Available","status":"True","reason":"Local","message":"m"}]}}`,
			Serving{Available: "True", Reason: "Local", Message: "m", AutoManaged: true, resourceVersion: "7"}, "kube-apiserver",
		},
		"a service": {
			`{"metadata":{"name":"v1.batch"},"spec":{"caBundle":"Y2E=","service":{"namespace":"a","name":"b","port":443}}}`,
			Serving{Service: &Service{"a", "b", 443}, CABundle: []byte("ca"), Available: "Unknown"}, "a/b",
		},
		"a CA of cert-manager's": {
			`{"metadata":{"name":"v1.batch","annotations":{"cert-manager.io/inject-ca-from":"a/b","c":"d"}}}`,
			Serving{Available: "Unknown", Injected: map[string]string{"cert-manager.io/inject-ca-from": "a/b"}}, "kube-apiserver",
		},
	} {
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON([]byte(`{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService",` + tc.apiService[1:])); err != nil {
			t.Fatal(err)
		}
		got, err := servingFrom(obj)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&tc.want, got, cmp.AllowUnexported(Serving{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got.Server() != tc.server {
			t.Errorf("%s: the server is %s", name, got.Server())
		}
	}
}

func TestDifferenceNamesAFewOfWhatDiffers(t *testing.T) {
	for name, tc := range map[string]struct {
		theirs, ours []string
		want         string
	}{
		"none":    {[]string{"b", "a"}, []string{"a", "b"}, ""},
		"missing": {[]string{"a", "b"}, []string{"a"}, "1 missing (b)"},
		"both":    {[]string{"a", "b"}, []string{"a", "c"}, "1 missing (b), 1 more (c)"},
		"many":    {nil, []string{"a", "b", "c", "d"}, "4 more (a; b; c)"},
	} {
		if got := difference(tc.theirs, tc.ours); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
