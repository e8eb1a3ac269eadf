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

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// clients returns those of a user: through kube-apiserver, and straight to Batchgate.
func clients(s session.Session, user string) map[string]kubernetes.Interface {
	s.T.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", s.As(user).Kubectl.Kubeconfig)
	if err != nil {
		s.T.Fatal(err)
	}
	straight := cluster.DirectConfig()
	straight.TLSClientConfig.CertData, straight.TLSClientConfig.KeyData = config.TLSClientConfig.CertData, config.TLSClientConfig.KeyData
	clients := map[string]kubernetes.Interface{}
	for way, config := range map[string]*rest.Config{"through kube-apiserver": config, "straight": straight} {
		if clients[way], err = kubernetes.NewForConfig(config); err != nil {
			s.T.Fatal(err)
		}
	}
	return clients
}

func TestRequestsAreAuthorizedOnce(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.Run("create", "rolebinding", "editor", "--clusterrole=edit", "--user=editor")
	reasons := map[string]string{
		"through kube-apiserver": "authorized by kube-apiserver before it proxied the request",
		"straight":               `RBAC: allowed by RoleBinding "editor/` + s.Namespace + `" of ClusterRole "edit" to User "editor"`,
	}
	for way, client := range clients(s, "editor") {
		patch := fmt.Sprintf(`{"metadata": {"labels": {"way": %q}}}`, strings.Fields(way)[0])
		s.Eventually("be allowed", func() error { // once the binding is known
			_, err := client.BatchV1().Jobs(s.Namespace).Patch(t.Context(), "pi", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			return err
		})
		s.Eventually("be in the audit log "+way, func() error {
			events, err := s.AuditedPatches("pi")
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
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.Run("create", "role", "updater", "--verb=get,patch,update", "--resource=jobs")
	s.Run("create", "rolebinding", "updater", "--role=updater", "--user=updater")
	for way, client := range clients(s, "updater") {
		jobs := client.BatchV1().Jobs(s.Namespace)
		s.Eventually("be allowed to patch", func() error {
			_, err := jobs.Patch(t.Context(), "pi", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
			return err
		})
		absent := session.NewJob("absent")
		_, err := jobs.Patch(t.Context(), "absent", types.ApplyPatchType, []byte(session.Manifest(t, absent)), metav1.PatchOptions{FieldManager: "test"})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "updater" cannot create resource "jobs"`) {
			t.Errorf("applied %s, the answer is %v", way, err)
		}
		if _, err := jobs.Update(t.Context(), absent, metav1.UpdateOptions{}); err == nil {
			t.Errorf("put %s, the Job was created", way)
		}
		if _, err := cluster.Client.BatchV1().Jobs(s.Namespace).Get(t.Context(), "absent", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s there is a Job now: %v", way, err)
		}
	}
}
