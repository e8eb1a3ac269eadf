// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

func TestJobPermissionsFollowRBAC(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join(root, "artifacts", "examples", "rbac-job-patcher.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.WithStdin(strings.ReplaceAll(string(example), "namespace: default", "namespace: "+s.Namespace)).Run("create", "--filename=-")
	label := func(subresource string) []string {
		return []string{"patch", "job", "pi", "--type=merge", `--patch={"metadata": {"labels": {"by": "user"}}}`, "--subresource=" + subresource}
	}

	patcher := s.As("job-patcher")
	patcher.Run(label("")...)
	if got := s.JobField("pi", ".metadata.labels.by"); got != "user" {
		t.Errorf("label by is %q", got)
	}
	patcher.ExpectError([]string{"annotate", "job", "pi", "a=b"}, session.DeniedMessage)
	patcher.ExpectError(label("status"), "Forbidden", `cannot get resource "jobs/status"`)
	patcher.ExpectError([]string{"delete", "job", "pi"}, "Forbidden", `cannot delete resource "jobs"`)

	stranger := s.As("stranger")
	stranger.ExpectError(label(""), "Forbidden", `User "stranger" cannot get resource "jobs"`)
	stranger.ExpectError(label("status"), "Forbidden")
}

// kube-apiserver authorizes proxied requests; Batchgate must decide the same for direct ones.
func TestPatchNeedsPatchPermission(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	for user, role := range map[string][]string{
		"reader":         {"--verb=get", "--resource=jobs,jobs/status"},
		"patcher":        {"--verb=get,patch", "--resource=jobs"},
		"status-patcher": {"--verb=get,patch", "--resource=jobs/status"},
	} {
		s.Run(append([]string{"create", "role", user}, role...)...)
		s.Run("create", "rolebinding", user, "--role="+user, "--user="+user)
	}
	for user, may := range map[string]struct{ patch, patchStatus bool }{
		"reader":         {},
		"patcher":        {patch: true},
		"status-patcher": {patchStatus: true},
		"stranger":       {},
	} {
		for route, client := range clients(s, user) {
			for _, patch := range []struct {
				resource, body string
				subresources   []string
				allowed        bool
			}{
				{"jobs", `{"spec": {"parallelism": 2}}`, nil, may.patch},
				{"jobs/status", `{"metadata": {"labels": {"by": "` + user + `"}}}`, []string{"status"}, may.patchStatus},
			} {
				t.Run(user+" patches "+patch.resource+" "+route, func(t *testing.T) {
					check := func() error {
						_, err := client.BatchV1().Jobs(s.Namespace).Patch(t.Context(), "pi", types.MergePatchType, []byte(patch.body), metav1.PatchOptions{}, patch.subresources...)
						return err
					}
					if patch.allowed {
						session.Eventually(t, "patch "+patch.resource, check) // kube-apiserver may not know the role yet
						return
					}
					err := check()
					want := fmt.Sprintf(`jobs.batch "pi" is forbidden: User %q cannot patch resource %q in API group "batch" in the namespace %q`, user, patch.resource, s.Namespace)
					if !apierrors.IsForbidden(err) || err.Error() != want {
						t.Errorf("got error %v, want %s", err, want)
					}
				})
			}
		}
	}
	if got := s.Job("pi").Labels["by"]; got != "status-patcher" {
		t.Errorf("label by is %q, want status-patcher", got)
	}
}

// Batchgate sees the user of the proxied request and applies only that user's permissions.
func TestImpersonationUsesImpersonatedUser(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.ExpectError([]string{"get", "job", "pi", "--as=somebody"}, "Forbidden", `User "somebody" cannot get resource "jobs"`)
	// The bootstrap policies let only the garbage collector change finalizers. A user who may
	// impersonate it could change everything else as well.
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"metadata": {"finalizers": ["test.batchgate.io/keep"]}}`,
		"--as=system:serviceaccount:kube-system:generic-garbage-collector", "--as-group=system:masters")
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"metadata": {"finalizers": null}}`,
		"--as=system:serviceaccount:kube-system:generic-garbage-collector", "--as-group=system:masters")
}

// Direct requests use the cluster's authentication. Batchgate trusts headers that name a user only with
// the client certificate of the front proxy.
func TestDirectRequestsAuthenticated(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.Run("create", "serviceaccount", "reader")
	s.Run("create", "rolebinding", "reader", "--clusterrole=view", "--serviceaccount="+s.Namespace+":reader")
	token := s.Run("create", "token", "reader")

	admin := cluster.DirectConfig()
	anonymous := rest.AnonymousClientConfig(admin)
	reader := rest.CopyConfig(anonymous)
	reader.BearerToken = token
	spoofed := rest.CopyConfig(anonymous)
	spoofed.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			req = req.Clone(req.Context())
			req.Header.Set("X-Remote-User", "admin")
			req.Header.Set("X-Remote-Group", "system:masters")
			return next.RoundTrip(req)
		})
	})
	wrongToken := rest.CopyConfig(anonymous)
	wrongToken.BearerToken = token + "x"

	for name, tc := range map[string]struct {
		config     *rest.Config
		get, patch func(error) bool
	}{
		"client certificate":    {admin, succeeds, succeeds},
		"service account token": {reader, succeeds, apierrors.IsForbidden},
		"anonymous":             {anonymous, apierrors.IsForbidden, apierrors.IsForbidden},
		"front proxy headers without its certificate": {spoofed, apierrors.IsForbidden, apierrors.IsForbidden},
		"invalid token": {wrongToken, apierrors.IsUnauthorized, apierrors.IsUnauthorized},
	} {
		client, err := kubernetes.NewForConfig(tc.config)
		if err != nil {
			t.Fatal(err)
		}
		jobs := client.BatchV1().Jobs(s.Namespace)
		if _, err := jobs.Get(t.Context(), "pi", metav1.GetOptions{}); !tc.get(err) {
			t.Errorf("get with %s: got error %v", name, err)
		}
		patch := []byte(`{"metadata": {"labels": {"by": "test"}}}`)
		if _, err := jobs.Patch(t.Context(), "pi", types.MergePatchType, patch, metav1.PatchOptions{}); !tc.patch(err) {
			t.Errorf("patch with %s: got error %v", name, err)
		}
	}
}

func succeeds(err error) bool { return err == nil }

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
