// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/client-go/kubernetes"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// example is a policy from artifacts/examples/policies. The file is relative to the repository root.
type example struct {
	file string
	name string
	spec v1alpha1.JobUpdatePolicySpec
}

func readExample(t *testing.T, name string) example {
	t.Helper()
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("artifacts", "examples", "policies", name+".yaml")
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	var p v1alpha1.JobUpdatePolicy
	if err := yaml.UnmarshalStrict(content, &p); err != nil {
		t.Fatal(err)
	}
	return example{file, p.Name, p.Spec}
}

// applyExample applies the shipped file. The second apply must be a no-op, or tools that compare the
// file with the stored object would apply it forever.
func applyExample(s session.Session, e example) {
	s.T.Helper()
	s.DeletePolicyAfterTest(e.name)
	s.Run("apply", "--filename="+e.file)
	if output := s.Run("apply", "--filename="+e.file); !strings.HasSuffix(output, " unchanged") {
		s.T.Errorf("second apply printed %q, want unchanged", output)
	}
}

// tool is a controller that changes Jobs in a namespace. It uses the service account of an example.
type tool struct {
	session.Session
	jobs batchclient.JobInterface
	user string
}

// newTool gives the example's service account the usual permissions of such controllers on Jobs.
func newTool(s session.Session, e example) tool {
	s.T.Helper()
	account := e.spec.Subjects[0]
	s.Run("create", "role", "tool", "--resource=jobs,jobs/status", "--verb=get,list,watch,create,update,patch,delete")
	s.Run("create", "rolebinding", "tool", "--role=tool", "--serviceaccount="+account.Namespace+":"+account.Name)
	return asServiceAccount(s, account)
}

// asServiceAccount returns a tool without permissions. An admin impersonates the service account, so it
// does not have to exist.
func asServiceAccount(s session.Session, account rbacv1.Subject) tool {
	s.T.Helper()
	user := "system:serviceaccount:" + account.Namespace + ":" + account.Name
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		s.T.Fatal(err)
	}
	return tool{s, client.BatchV1().Jobs(s.Namespace), user}
}

type change = func(*batchv1.Job)

// patch changes the Job as controller-runtime does: with a JSON merge patch that contains the resource
// version. It retries on conflict.
func (c tool) patch(name string, change change, subresources ...string) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		job, err := c.jobs.Get(c.T.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		changed := job.DeepCopy()
		change(changed)
		job.ResourceVersion = ""
		before, err := json.Marshal(job)
		if err != nil {
			return err
		}
		after, err := json.Marshal(changed)
		if err != nil {
			return err
		}
		patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(before, after, before)
		if err != nil {
			return err
		}
		_, err = c.jobs.Patch(c.T.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}, subresources...)
		return err
	})
}

// put changes the Job with an update. It retries on conflict.
func (c tool) put(name string, change change) error {
	return c.putWith(c.jobs.Update, name, change)
}

// putStatus is like put, for jobs/status.
func (c tool) putStatus(name string, change change) error {
	return c.putWith(c.jobs.UpdateStatus, name, change)
}

func (c tool) putWith(update func(context.Context, *batchv1.Job, metav1.UpdateOptions) (*batchv1.Job, error), name string, change change) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		job, err := c.jobs.Get(c.T.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(job)
		_, err = update(c.T.Context(), job, metav1.UpdateOptions{})
		return err
	})
}

// expectDenied checks that err says that the gate denied changes of all paths.
func expectDenied(s session.Session, err error, paths ...string) {
	s.T.Helper()
	if err := session.CheckDenied(err, paths...); err != nil {
		s.T.Error(err)
	}
}

// retryWrite retries a write until it succeeds, as controllers do: the policy may not be loaded yet, or the
// Job may not be in a state in which Kubernetes allows the change.
func retryWrite(s session.Session, write func() error) {
	s.T.Helper()
	s.Eventually("write the Job", write)
}
