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

// serviceMonitor is what matters here of one.
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

// rendered reads an object of the rendered manifests into another one.
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
	t.Fatalf("there is no %s %s", kind, name)
	return ""
}

func TestTheServiceMonitorFindsTheServiceAndVerifiesIt(t *testing.T) {
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
		t.Errorf("%s does not select a Service with the labels %v", selector, service.Labels)
	}
	endpoint := monitor.Spec.Endpoints[0]
	if endpoint.Port != service.Spec.Ports[0].Name {
		t.Errorf("the port is called %q, not %q", service.Spec.Ports[0].Name, endpoint.Port)
	}
	if endpoint.TLSConfig.InsecureSkipVerify || endpoint.Scheme != "https" {
		t.Errorf("nobody is verified by %+v", endpoint)
	}
	mounted := false
	for _, volume := range deployment.Spec.Template.Spec.Volumes {
		mounted = mounted || volume.Secret != nil && volume.Secret.SecretName == endpoint.TLSConfig.CA.Secret.Name
	}
	if !mounted {
		t.Errorf("the server does not serve with the Secret %q", endpoint.TLSConfig.CA.Secret.Name)
	}
}

// The scraper is the service account that the component binds, and has no right besides.
func TestMetricsAreForTheServiceAccountThatTheComponentBinds(t *testing.T) {
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
	bound, other := scraper(t, s.Namespace, "prometheus-k8s"), scraper(t, s.Namespace, "other")
	s.Eventually("be scraped", func() error {
		if code := answerTo(t, bound, "/metrics"); code != http.StatusOK {
			return fmt.Errorf("the answer is %d", code)
		}
		return nil
	})
	for _, tc := range []struct {
		who    string
		config *rest.Config
		path   string
	}{
		{"another service account", other, "/metrics"},
		{"the scraper", bound, "/metrics/slis"},
		{"the scraper", bound, "/apis/batch/v1/jobs"},
		{"nobody", rest.AnonymousClientConfig(bound), "/metrics"},
	} {
		if code := answerTo(t, tc.config, tc.path); code != http.StatusForbidden {
			t.Errorf("%s gets %d from %s", tc.who, code, tc.path)
		}
	}
}

// scraper returns the way to Batchgate of a new service account, as the ServiceMonitor has it:
// with its token, and the server's name.
func scraper(t *testing.T, namespace, name string) *rest.Config {
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

// answerTo returns the code of the answer to a GET.
func answerTo(t *testing.T, config *rest.Config, path string) int {
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
