// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// The manifests in artifacts are for admins without the plugin, and must have the same effect.
func TestPatchesEqualArtifacts(t *testing.T) {
	service := Service{Namespace: policy.Namespace, Name: policy.ServiceName}
	takeover := takeoverPatch(service, []byte("ca"), nil, "1")
	rollback := rollbackPatch("1")
	for _, patch := range []map[string]any{takeover, rollback} {
		delete(patch["metadata"].(map[string]any), "resourceVersion")
	}
	delete(rollback["spec"].(map[string]any), "insecureSkipTLSVerify") // nothing in this project sets it
	for name, got := range map[string]map[string]any{"takeover": takeover, "rollback": rollback} {
		content, err := os.ReadFile(filepath.Join("..", "..", "..", "artifacts", "apiservice", name, "patch.yaml"))
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
			// The manual rollback keeps the priorities, which the takeover does not change.
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

func TestAPIServiceFrom(t *testing.T) {
	for name, tc := range map[string]struct {
		apiService string
		want       APIService
		server     string
	}{
		"kube-apiserver": {
			`{"metadata":{"name":"v1.batch","resourceVersion":"7","labels":{"kube-aggregator.kubernetes.io/automanaged":"onstart"}},
			  "status":{"conditions":[{"type":"Available","status":"True","reason":"Local","message":"m"}]}}`,
			APIService{Name: "v1.batch", Available: "True", Reason: "Local", Message: "m", AutoManaged: true, resourceVersion: "7"}, "kube-apiserver",
		},
		"service": {
			`{"metadata":{"name":"v1.batch"},"spec":{"caBundle":"Y2E=","service":{"namespace":"a","name":"b","port":443}}}`,
			APIService{Name: "v1.batch", Service: &Service{"a", "b", 443}, CABundle: []byte("ca"), Available: "Unknown"}, "a/b",
		},
		"service without port": {
			`{"metadata":{"name":"v1.batch"},"spec":{"service":{"namespace":"a","name":"b"}}}`,
			APIService{Name: "v1.batch", Service: &Service{"a", "b", 0}, Available: "Unknown"}, "a/b",
		},
		"cert-manager": {
			`{"metadata":{"name":"v1.batch","annotations":{"cert-manager.io/inject-ca-from":"a/b","c":"d"}}}`,
			APIService{Name: "v1.batch", Available: "Unknown", CertManager: map[string]string{"cert-manager.io/inject-ca-from": "a/b"}}, "kube-apiserver",
		},
		"importing": {
			`{"metadata":{"name":"v1.batch","annotations":{"batchgate.io/etcd":"importing"}}}`,
			APIService{Name: "v1.batch", Available: "Unknown", Importing: true, etcd: "importing"}, "kube-apiserver",
		},
		"dedicated etcd": {
			`{"metadata":{"name":"v1.batch","annotations":{"batchgate.io/etcd":"dedicated"}}}`,
			APIService{Name: "v1.batch", Available: "Unknown", DedicatedEtcd: true, etcd: "dedicated"}, "kube-apiserver",
		},
		"etcd annotation of an earlier version": {
			`{"metadata":{"name":"v1.batch","annotations":{"batchgate.io/etcd":"own"}}}`,
			APIService{Name: "v1.batch", Available: "Unknown", DedicatedEtcd: true, etcd: "own"}, "kube-apiserver",
		},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &apiregistrationv1.APIService{}
			if err := json.Unmarshal([]byte(tc.apiService), obj); err != nil {
				t.Fatal(err)
			}
			got := apiServiceFrom(obj)
			if diff := cmp.Diff(&tc.want, got, cmp.AllowUnexported(APIService{})); diff != "" {
				t.Errorf("unexpected result (-want +got):\n%s", diff)
			}
			if got.Server() != tc.server {
				t.Errorf("Server() = %q, want %q", got.Server(), tc.server)
			}
		})
	}
}
