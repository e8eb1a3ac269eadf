// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// serviceMonitor has the fields of a ServiceMonitor that the tests read.
type serviceMonitor struct {
	Spec struct {
		Selector  metav1.LabelSelector
		Endpoints []struct {
			Port, Scheme, Path, BearerTokenFile string
			TLSConfig                           struct {
				ServerName         string
				InsecureSkipVerify bool
				CA                 struct{ Secret corev1.SecretKeySelector }
			}
		}
	}
}

// rendered returns the manifest of an object and decodes it into into, unless that is nil.
func rendered(t *testing.T, kind, name string, into any) string {
	t.Helper()
	for document := range strings.SplitSeq(monitoringManifests(t), "\n---\n") {
		var object unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatal(err)
		}
		if object.GetKind() != kind || object.GetName() != name {
			continue
		}
		if into != nil {
			if err := yaml.Unmarshal([]byte(document), into); err != nil {
				t.Fatal(err)
			}
		}
		return document
	}
	t.Fatalf("the rendered manifests have no %s %s", kind, name)
	return ""
}

func TestServiceMonitorSelectsService(t *testing.T) {
	t.Parallel()
	var monitor serviceMonitor
	var service corev1.Service
	var deployment appsv1.Deployment
	rendered(t, "ServiceMonitor", framework.Name, &monitor)
	rendered(t, "Service", framework.Name, &service)
	rendered(t, "Deployment", framework.Name, &deployment)
	selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	if selector.Empty() || !selector.Matches(labels.Set(service.Labels)) {
		t.Errorf("selector %s does not match the labels %v of the Service", selector, service.Labels)
	}
	endpoint := monitor.Spec.Endpoints[0]
	if endpoint.Port != service.Spec.Ports[0].Name {
		t.Errorf("port of the Service is %q, but the endpoint uses %q", service.Spec.Ports[0].Name, endpoint.Port)
	}
	if endpoint.TLSConfig.InsecureSkipVerify || endpoint.Scheme != "https" {
		t.Errorf("endpoint does not verify the server: %+v", endpoint)
	}
	mounted := false
	for _, volume := range deployment.Spec.Template.Spec.Volumes {
		mounted = mounted || volume.Secret != nil && volume.Secret.SecretName == endpoint.TLSConfig.CA.Secret.Name
	}
	if !mounted {
		t.Errorf("the Deployment does not mount Secret %q", endpoint.TLSConfig.CA.Secret.Name)
	}
}

// The component lets one service account read metrics, and nothing else.
func TestMetricsNeedBoundServiceAccount(t *testing.T) {
	t.Parallel()
	s := session.InNamespace(t, cluster, "monitoring")
	for _, kind := range []string{"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"} {
		document := rendered(t, kind, "batchgate-prometheus", nil)
		if _, _, err := s.WithStdin(document).Kubectl.Run(t.Context(), "apply", "--server-side", "--filename=-"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, _, err := s.WithStdin(document).Kubectl.Run(context.Background(), "delete", "--filename=-"); err != nil {
				t.Error(err)
			}
		})
	}
	bound, other := newScraper(t, s.Namespace, "prometheus-k8s"), newScraper(t, s.Namespace, "other")
	s.Eventually("scrape the metrics", func() error {
		if code := getStatus(t, bound, "/metrics"); code != http.StatusOK {
			return fmt.Errorf("got status %d", code)
		}
		return nil
	})
	for _, tc := range []struct {
		client string
		config *rest.Config
		path   string
	}{
		{"other service account", other, "/metrics"},
		{"bound service account", bound, "/metrics/slis"},
		{"bound service account", bound, "/apis/batch/v1/jobs"},
		{"anonymous", rest.AnonymousClientConfig(bound), "/metrics"},
	} {
		if code := getStatus(t, tc.config, tc.path); code != http.StatusForbidden {
			t.Errorf("%s, GET %s: got status %d, want 403", tc.client, tc.path, code)
		}
	}
}

// newScraper creates a service account and returns a config that connects to Batchgate as the
// ServiceMonitor does: with the account's token and the server name.
func newScraper(t *testing.T, namespace, name string) *rest.Config {
	t.Helper()
	accounts := cluster.Client.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var monitor serviceMonitor
	rendered(t, "ServiceMonitor", framework.Name, &monitor)
	config := rest.AnonymousClientConfig(cluster.DirectConfig())
	config.BearerToken = token.Status.Token
	config.ServerName = monitor.Spec.Endpoints[0].TLSConfig.ServerName
	return config
}

// getStatus returns the HTTP status code of a GET request.
func getStatus(t *testing.T, config *rest.Config, path string) int {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	code := 0
	result := client.Discovery().RESTClient().Get().AbsPath(path).Do(t.Context()).StatusCode(&code)
	if code == 0 {
		t.Fatal(result.Error())
	}
	return code
}
