package core

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// clients returns those of a user: through kube-apiserver, and straight to Batchgate.
func (s session) clients(user string) map[string]kubernetes.Interface {
	s.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", s.as(user).kubectl.Kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	straight := cluster.DirectConfig()
	straight.TLSClientConfig.CertData, straight.TLSClientConfig.KeyData = config.TLSClientConfig.CertData, config.TLSClientConfig.KeyData
	clients := map[string]kubernetes.Interface{}
	for way, config := range map[string]*rest.Config{"through kube-apiserver": config, "straight": straight} {
		if clients[way], err = kubernetes.NewForConfig(config); err != nil {
			s.t.Fatal(err)
		}
	}
	return clients
}

func TestRequestsAreAuthorizedOnce(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	s.run("create", "rolebinding", "editor", "--clusterrole=edit", "--user=editor")
	reasons := map[string]string{
		"through kube-apiserver": "authorized by kube-apiserver before it proxied the request",
		"straight":               `RBAC: allowed by RoleBinding "editor/` + s.namespace + `" of ClusterRole "edit" to User "editor"`,
	}
	for way, client := range s.clients("editor") {
		patch := fmt.Sprintf(`{"metadata": {"labels": {"way": %q}}}`, strings.Fields(way)[0])
		s.eventually("be allowed", func() error { // once the binding is known
			_, err := client.BatchV1().Jobs(s.namespace).Patch(t.Context(), "pi", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			return err
		})
		s.eventually("be in the audit log "+way, func() error {
			events, err := s.auditedPatches("pi")
			if err != nil {
				return err
			}
			for _, event := range events {
				if event.User.Username == "editor" && event.Annotations["authorization.k8s.io/reason"] == reasons[way] {
					return nil
				}
			}
			return fmt.Errorf("%d patches, none by the reason %q", len(events), reasons[way])
		})
	}
}

// kube-apiserver has authorized an update only, and not that it creates what it does not find.
func TestAnUpdateThatCreatesTakesTheRightToCreate(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	s.run("create", "role", "updater", "--verb=get,patch,update", "--resource=jobs")
	s.run("create", "rolebinding", "updater", "--role=updater", "--user=updater")
	for way, client := range s.clients("updater") {
		jobs := client.BatchV1().Jobs(s.namespace)
		s.eventually("be allowed to patch", func() error {
			_, err := jobs.Patch(t.Context(), "pi", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
			return err
		})
		absent := newJob("absent")
		_, err := jobs.Patch(t.Context(), "absent", types.ApplyPatchType, []byte(manifest(t, absent)), metav1.PatchOptions{FieldManager: "test"})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "updater" cannot create resource "jobs"`) {
			t.Errorf("applied %s, the answer is %v", way, err)
		}
		if _, err := jobs.Update(t.Context(), absent, metav1.UpdateOptions{}); err == nil {
			t.Errorf("put %s, the Job was created", way)
		}
		if _, err := cluster.Client.BatchV1().Jobs(s.namespace).Get(t.Context(), "absent", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s there is a Job now: %v", way, err)
		}
	}
}
