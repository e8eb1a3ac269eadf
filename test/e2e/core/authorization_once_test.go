// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// clients returns a user's clients by route: through kube-apiserver, and direct to Batchgate.
func clients(s session.Session, user string) map[string]kubernetes.Interface {
	s.T.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", s.As(user).Kubectl.Kubeconfig)
	if err != nil {
		s.T.Fatal(err)
	}
	direct := cluster.DirectConfig()
	direct.TLSClientConfig.CertData, direct.TLSClientConfig.KeyData = config.TLSClientConfig.CertData, config.TLSClientConfig.KeyData
	clients := map[string]kubernetes.Interface{}
	for route, config := range map[string]*rest.Config{"through kube-apiserver": config, "direct": direct} {
		if clients[route], err = kubernetes.NewForConfig(config); err != nil {
			s.T.Fatal(err)
		}
	}
	return clients
}

func TestProxiedRequestsAuthorizedOnce(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.Run("create", "rolebinding", "editor", "--clusterrole=edit", "--user=editor")
	reasons := map[string]string{
		"through kube-apiserver": "authorized by kube-apiserver before it proxied the request",
		"direct":                 `RBAC: allowed by RoleBinding "editor/` + s.Namespace + `" of ClusterRole "edit" to User "editor"`,
	}
	for route, client := range clients(s, "editor") {
		patch := fmt.Sprintf(`{"metadata": {"labels": {"route": %q}}}`, strings.Fields(route)[0])
		// kube-apiserver may not know the binding yet.
		s.Eventually("patch the Job as editor", func() error {
			_, err := client.BatchV1().Jobs(s.Namespace).Patch(t.Context(), "pi", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			return err
		})
		s.Eventually("find the patch in the audit log, "+route, func() error {
			events, err := s.AuditedPatches("pi")
			if err != nil {
				return err
			}
			for _, event := range events {
				if event.User.Username == "editor" && event.Annotations["authorization.k8s.io/reason"] == reasons[route] {
					return nil
				}
			}
			return fmt.Errorf("none of %d patches has the authorization reason %q", len(events), reasons[route])
		})
	}
}

// kube-apiserver authorizes only the update, so Batchgate must check create when the Job does not exist.
func TestUpdateThatCreatesNeedsCreatePermission(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.Run("create", "role", "updater", "--verb=get,patch,update", "--resource=jobs")
	s.Run("create", "rolebinding", "updater", "--role=updater", "--user=updater")
	for route, client := range clients(s, "updater") {
		jobs := client.BatchV1().Jobs(s.Namespace)
		s.Eventually("patch the Job as updater", func() error {
			_, err := jobs.Patch(t.Context(), "pi", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
			return err
		})
		absent := session.NewJob("absent")
		_, err := jobs.Patch(t.Context(), "absent", types.ApplyPatchType, []byte(session.Manifest(t, absent)), metav1.PatchOptions{FieldManager: "test"})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "updater" cannot create resource "jobs"`) {
			t.Errorf("apply of a new Job, %s: got error %v, want forbidden", route, err)
		}
		if _, err := jobs.Update(t.Context(), absent, metav1.UpdateOptions{}); err == nil {
			t.Errorf("update of a missing Job created it, %s", route)
		}
		if _, err := cluster.Client.BatchV1().Jobs(s.Namespace).Get(t.Context(), "absent", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("getting the Job after forbidden writes, %s: got error %v, want not found", route, err)
		}
	}
}
