// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// certificate has the fields of cert-manager's Certificate and Issuer that the test compares.
type certificate struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		IsCA                  bool
		SecretName            string
		DNSNames, Usages      []string
		Duration, RenewBefore string
		IssuerRef             struct{ Name string }
		PrivateKey            struct{ RotationPolicy string }
		CA                    *struct{ SecretName string }
	}
}

// cert-manager does not run in the tests, so the test compares the manifests with the plugin.
func TestCertManagerComponentEqualsPlugin(t *testing.T) {
	found := map[string]certificate{}
	for _, file := range []string{"issuers.yaml", "certificates.yaml"} {
		for _, document := range bytes.Split(artifact(t, "components", "cert-manager", file), []byte("\n---\n")) {
			var c certificate
			if err := yaml.Unmarshal(document, &c); err != nil {
				t.Fatal(err)
			}
			if c.Metadata.Namespace != policy.Namespace {
				t.Errorf("%s %s is in namespace %q", c.Kind, c.Metadata.Name, c.Metadata.Namespace)
			}
			found[c.Kind+" "+c.Metadata.Name] = c
		}
	}

	serving := found["Certificate batchgate-serving"]
	template := servingTemplate(cluster.Service{Namespace: policy.Namespace, Name: policy.ServiceName})
	if !slices.Equal(serving.Spec.DNSNames, template.DNSNames) {
		t.Errorf("the names are %q, and the plugin's %q", serving.Spec.DNSNames, template.DNSNames)
	}
	if !slices.Equal(template.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || !slices.Equal(serving.Spec.Usages, []string{"digital signature", "server auth"}) {
		t.Errorf("the usages are %q, and the plugin's %v", serving.Spec.Usages, template.ExtKeyUsage)
	}
	var deployment appsv1.Deployment
	if err := yaml.UnmarshalStrict(artifact(t, "base", "deployment.yaml"), &deployment); err != nil {
		t.Fatal(err)
	}
	mounted := false
	for _, volume := range deployment.Spec.Template.Spec.Volumes {
		mounted = mounted || volume.Secret != nil && volume.Secret.SecretName == serving.Spec.SecretName
	}
	if !mounted || serving.Spec.SecretName != policy.ServingSecret {
		t.Errorf("the Deployment does not mount Secret %q", serving.Spec.SecretName)
	}

	issuer := found["Issuer "+serving.Spec.IssuerRef.Name]
	ca := found["Certificate batchgate-ca"]
	if issuer.Spec.CA == nil || issuer.Spec.CA.SecretName != ca.Spec.SecretName || !ca.Spec.IsCA {
		t.Errorf("the serving certificate is not signed by the CA: %+v, %+v", issuer.Spec, ca.Spec)
	}
	if ca.Spec.PrivateKey.RotationPolicy != "Never" {
		t.Error("the CA gets a new key at renewal and then does not verify earlier certificates")
	}
	if c, ok := found["Issuer "+ca.Spec.IssuerRef.Name]; !ok || c.Spec.CA != nil {
		t.Errorf("the CA is signed by %q", ca.Spec.IssuerRef.Name)
	}
	if ca.Spec.SecretName == policy.ServingCASecret {
		t.Error("the plugin and cert-manager keep their CAs in the same Secret")
	}
	for _, c := range []certificate{serving, ca} {
		if duration, before := hours(t, c.Spec.Duration), hours(t, c.Spec.RenewBefore); before*2 > duration || before <= 0 {
			t.Errorf("%s is valid for %s and renewed %s before it expires", c.Metadata.Name, duration, before)
		}
	}
}

func hours(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func artifact(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "..", "artifacts"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
