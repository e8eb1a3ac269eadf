// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/test/framework"
)

// argoCDApplication is an Application, and the Git repository with its manifests.
type argoCDApplication struct {
	*toolRun
	name, repository string
	decisions        gateDecisions // since the Application was created
}

// runArgoCD changes the manifests of Applications.
func runArgoCD(r *toolRun, server string) {
	r.t.Helper()
	job := func(name string, parallelism int32, changes ...func(*batchv1.Job)) string {
		return manifest(r.t, toolJob(name, parallelism, changes...))
	}
	serverSide := func(j *batchv1.Job) { j.Annotations["argocd.argoproj.io/sync-options"] = "ServerSideApply=true" }
	suspended := func(j *batchv1.Job) { j.Spec.Suspend = new(true) }
	configMap := func(value string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"key":%q}}`, value)
	}
	a := createArgoCDApplication(r, server, "synced", job("report", 1), job("server-side", 1, serverSide), configMap("a"))
	r.record("sync two new Jobs and a ConfigMap", a.sync())
	a.commit(job("report", 1), job("server-side", 2, serverSide), configMap("a"))
	r.record("sync another `parallelism` by server-side apply", a.sync())
	a.commit(job("report", 2), job("server-side", 2, serverSide), configMap("a"))
	r.record("sync another `parallelism` by client-side apply", a.sync())
	a.commit(job("report", 2), job("server-side", 2, serverSide, suspended), configMap("b"))
	r.record("sync another `suspend`, and change the ConfigMap", a.sync())
	changed := "no"
	if r.run("get", "configmap", "settings", "--output=jsonpath={.data.key}") == "b" {
		changed = "yes"
	}
	r.recordResult("is that ConfigMap changed?", changed)
	a.patch(object{"metadata": object{"annotations": object{"argocd.argoproj.io/compare-options": "ServerSideDiff=true"}}})
	r.record("compare the same with server-side diff", a.compare())

	healed := createArgoCDApplication(r, server, "healed", job("healed", 2, serverSide))
	healed.patch(object{"spec": object{"syncPolicy": object{"automated": object{"selfHeal": true}}}})
	healed.awaitParallelism("healed", 2)
	r.run("patch", "job", "healed", `--patch={"spec":{"parallelism":3}}`)
	healed.awaitParallelism("healed", 2)
	r.recordResult("self-heal a patched `parallelism`", works)

	// Argo CD runs the hook after the Job has ended.
	ending := func(j *batchv1.Job) { delete(j.Spec.Template.Annotations, framework.HoldAnnotation) }
	hook := func(j *batchv1.Job) { j.Annotations["argocd.argoproj.io/hook"] = "PostSync" }
	hooked := createArgoCDApplication(r, server, "hooked", job("first", 1, ending), job("hook", 1, ending, hook))
	r.record("sync a Job with a hook, from which Argo CD removes its finalizer", hooked.sync())
	r.record("sync the same again, which replaces the hook", hooked.sync())
	deleted := "no"
	if hooked.delete() {
		deleted = "yes"
	}
	r.recordResult("is the hook deleted with its Application?", deleted)
	if !a.delete() || !healed.delete() {
		r.t.Error("Argo CD did not delete a Job without a hook")
	}
}

// createArgoCDApplication creates an Application.
func createArgoCDApplication(r *toolRun, server, name string, manifests ...string) argoCDApplication {
	r.t.Helper()
	a := argoCDApplication{r, r.namespace + "-" + name, r.t.TempDir(), watchDecisions(r.t)}
	a.git("init", "--quiet")
	a.commit(manifests...)
	content, err := yaml.Marshal(object{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
		"metadata": object{"name": a.name, "namespace": argoCDNamespace, "finalizers": []string{"resources-finalizer.argocd.argoproj.io"}},
		"spec": object{
			"project":     "default",
			"source":      object{"repoURL": "file://" + a.repository, "path": ".", "targetRevision": "HEAD"},
			"destination": object{"server": server, "namespace": r.namespace},
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, _, err := cluster.Kubectl().WithStdin(string(content)).Run(r.t.Context(), "create", "--filename=-"); err != nil {
		r.t.Fatal(err)
	}
	return a
}

// delete deletes the Application. If one of its hooks keeps the finalizer, because the gate has denied to remove
// it, delete removes it as an admin does, and returns false.
func (a argoCDApplication) delete() bool {
	a.t.Helper()
	a.runInArgoCD("delete", "application", a.name, "--wait=false")
	kept := ""
	a.eventually("be deleted by Argo CD", func() error {
		for _, event := range a.decisions.auditEvents() {
			if event.ObjectRef == nil || event.ObjectRef.Namespace != a.namespace || event.Annotations[policy.AuditDecision] != "deny" {
				continue
			}
			job, err := cluster.Client.BatchV1().Jobs(a.namespace).Get(a.t.Context(), event.ObjectRef.Name, metav1.GetOptions{})
			if err == nil && job.DeletionTimestamp != nil && slices.Equal(job.Finalizers, []string{"argocd.argoproj.io/hook-finalizer"}) {
				kept = job.Name
				return nil
			}
		}
		return a.checkDeleted()
	})
	if kept == "" {
		return true
	}
	a.removeFinalizer(kept)
	return false
}

// removeFinalizer removes the finalizers of a Job by the patch in docs/tasks/recipes-gitops.md, with a
// policy for the admin.
func (a argoCDApplication) removeFinalizer(job string) {
	a.t.Helper()
	a.create(adminPolicy)
	defer a.run("delete", "jobupdatepolicy", "remove-finalizers")
	a.run("wait", "jobupdatepolicy", "remove-finalizers", "--for=condition=Ready", "--timeout=60s")
	a.run("patch", "job", job, "--type=merge", `--patch={"metadata":{"finalizers":null}}`)
	a.eventually("be deleted by Argo CD", a.checkDeleted)
}

const adminPolicy = `
apiVersion: policy.batchgate.io/v1alpha1
kind: JobUpdatePolicy
metadata: {name: remove-finalizers}
spec:
  subjects: [{kind: Group, name: "system:masters"}]
  fields: [metadata.finalizers]
`

// checkDeleted returns an error if the Application exists.
func (a argoCDApplication) checkDeleted() error {
	a.t.Helper()
	if a.runInArgoCD("get", "application", a.name, "--ignore-not-found") != "" {
		return errors.New("the Application exists")
	}
	return nil
}

// runInArgoCD runs kubectl in the namespace of Argo CD.
func (a argoCDApplication) runInArgoCD(args ...string) string {
	a.t.Helper()
	return session{t: a.t, namespace: argoCDNamespace}.run(args...)
}

// commit replaces the manifests in the Git repository.
func (a argoCDApplication) commit(manifests ...string) {
	a.t.Helper()
	content := strings.Join(manifests, "\n---\n")
	if err := os.WriteFile(filepath.Join(a.repository, "manifests.yaml"), []byte(content), 0o600); err != nil {
		a.t.Fatal(err)
	}
	a.git("add", "manifests.yaml")
	a.git("-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message=change")
}

// git runs git in the repository and returns its trimmed output.
func (a argoCDApplication) git(args ...string) string {
	a.t.Helper()
	cmd := exec.CommandContext(a.t.Context(), "git", args...)
	cmd.Dir = a.repository
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	output, err := cmd.CombinedOutput()
	if err != nil {
		a.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}

// patch changes the Application.
func (a argoCDApplication) patch(patch object) {
	a.t.Helper()
	content, err := json.Marshal(patch)
	if err != nil {
		a.t.Fatal(err)
	}
	a.runInArgoCD("patch", "application", a.name, "--type=merge", "--patch="+string(content))
}

// argoCDStatus is the part of an Application that the test reads.
type argoCDStatus struct {
	Operation *object
	Status    struct {
		Sync           struct{ Status, Revision string }
		Conditions     []struct{ Type, Message string }
		OperationState struct {
			Phase, Message string
			FinishedAt     string
			Operation      struct{ Sync struct{ Revision string } }
			SyncResult     struct {
				Resources []struct{ Name, Status, HookPhase, Message string }
			}
		}
	}
}

func (a argoCDApplication) status() (s argoCDStatus, err error) {
	a.t.Helper()
	return s, json.Unmarshal([]byte(a.runInArgoCD("get", "application", a.name, "--output=json")), &s)
}

// sync syncs the newest commit. The error has the messages about the objects that failed.
func (a argoCDApplication) sync() error {
	a.t.Helper()
	revision := a.git("rev-parse", "HEAD")
	a.patch(object{"operation": object{"sync": object{"revision": revision}}})
	var failed error
	a.eventually("be synced", func() error {
		s, err := a.status()
		if err != nil {
			return err
		}
		state := s.Status.OperationState
		if s.Operation != nil || state.Operation.Sync.Revision != revision || state.FinishedAt == "" {
			return fmt.Errorf("the operation is %+v, conditions are %+v", state, s.Status.Conditions)
		}
		if state.Phase != "Succeeded" {
			messages := []string{state.Phase, state.Message}
			for _, resource := range state.SyncResult.Resources {
				messages = append(messages, resource.Message)
			}
			failed = errors.New(strings.Join(messages, "; "))
		}
		return nil
	})
	return failed
}

// compare waits until Argo CD has compared the newest commit. The error is the one in the conditions.
func (a argoCDApplication) compare() error {
	a.t.Helper()
	a.patch(object{"metadata": object{"annotations": object{"argocd.argoproj.io/refresh": "hard"}}})
	var failed error
	a.eventually("be compared", func() error {
		if a.runInArgoCD("get", "application", a.name, `--output=jsonpath={.metadata.annotations.argocd\.argoproj\.io/refresh}`) != "" {
			return errors.New("the refresh has not ended")
		}
		s, err := a.status()
		if err != nil {
			return err
		}
		for _, condition := range s.Status.Conditions {
			if condition.Type == "ComparisonError" {
				failed = errors.New(condition.Message)
			}
		}
		return nil
	})
	return failed
}

// awaitParallelism waits until a Job has this parallelism.
func (a argoCDApplication) awaitParallelism(job string, want int32) {
	a.t.Helper()
	a.eventually("have its parallelism", func() error {
		var got int32
		output := a.run("get", "job", job, "--ignore-not-found", "--output=jsonpath={.spec.parallelism}")
		if _, err := fmt.Sscan(output, &got); err != nil || got != want {
			return fmt.Errorf("%s has the parallelism %q, want %d", job, output, want)
		}
		return nil
	})
}
