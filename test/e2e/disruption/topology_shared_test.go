package disruption

import (
	"os"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

func TestJobsRunWithAStaticPodOnTheClustersEtcd(t *testing.T) {
	d := start(t, framework.ClusterOptions{EtcdTLS: true})
	if err := d.InstallStaticPod(t.Context()); err != nil {
		t.Fatal(err)
	}
	etcd := openEtcd(t, []string{d.EtcdURL()}, "", "", "")
	d.takeOverAndBack(func(name string) {
		if !d.isStored(etcd, "jobs", name) {
			t.Errorf("Job %s is not in the cluster's etcd", name)
		}
	})
	d.checkMirrorPod()
	log, err := os.ReadFile(d.Batchgate.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(strings.ReplaceAll(line, `\"`, `"`), `User "`+framework.Name+`" cannot`) {
			t.Errorf("a right is missing: %s", line)
		}
	}
}

// checkMirrorPod checks what the mirror of the static Pod needs to be an endpoint.
func (d *drill) checkMirrorPod() {
	d.t.Helper()
	static, err := framework.StaticPod()
	if err != nil {
		d.t.Fatal(err)
	}
	content, err := os.ReadFile("../../../artifacts/base/service.yaml")
	if err != nil {
		d.t.Fatal(err)
	}
	var service corev1.Service
	if err := yaml.UnmarshalStrict(content, &service); err != nil {
		d.t.Fatal(err)
	}
	if selector := labels.SelectorFromSet(service.Spec.Selector); !selector.Matches(labels.Set(static.Labels)) {
		d.t.Errorf("the Service selects %s, the static Pod has %v", selector, static.Labels)
	}
	// The reason for what the overlay makes of the namespace.
	namespaces := d.Client.CoreV1().Namespaces()
	restricted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "restricted", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if _, err := namespaces.Create(d.t.Context(), restricted, metav1.CreateOptions{}); err != nil {
		d.t.Fatal(err)
	}
	mirror := framework.MirrorPod(static, "fake-1")
	mirror.Namespace = restricted.Name
	_, err = d.Client.CoreV1().Pods(restricted.Name).Create(d.t.Context(), mirror, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "violates PodSecurity") {
		d.t.Errorf("a mirror Pod where the restricted standard is enforced: %v", err)
	}
}

func TestJobsRunOnAnEtcdThatKubeAPIServerKeepsThemIn(t *testing.T) {
	batch, err := framework.StartBatchEtcd(t.Context(), t.TempDir(), binaries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := batch.Stop(); err != nil {
			t.Error(err)
		}
	})
	d := start(t, framework.ClusterOptions{APIServerArgs: batch.APIServerArgs()})
	if err := d.InstallBatchEtcd(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	right := openEtcd(t, []string{batch.URL}, batch.CAFile, batch.CertFile, batch.KeyFile)
	wrong := openEtcd(t, []string{d.EtcdURL()}, "", "", "")
	d.takeOverAndBack(func(name string) { d.storedIn(right, wrong, "jobs", name) })
	if err := d.kubectl("create", "cronjob", "nightly", "--image=example.com/work:1", "--schedule=0 0 1 1 *"); err != nil {
		t.Fatal(err)
	}
	d.storedIn(right, wrong, "cronjobs", "nightly")
	response, err := right.Get(t.Context(), "/registry/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range response.Kvs {
		if resource := strings.Split(string(kv.Key), "/")[2]; !slices.Contains([]string{"jobs", "cronjobs", "policy.batchgate.io"}, resource) {
			t.Errorf("the etcd of Jobs has %s", kv.Key)
		}
	}
}
