// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

func TestKubectlPatchGated(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	for _, tc := range []struct {
		patchType, allowed, denied string
	}{
		{
			patchType: "json",
			allowed:   `[{"op": "replace", "path": "/spec/parallelism", "value": 2}]`,
			denied:    `[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example.com/other"}]`,
		},
		{
			patchType: "merge",
			allowed:   `{"spec": {"parallelism": 3}}`,
			denied:    `{"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "example.com/other"}]}}}}`,
		},
		{
			patchType: "strategic",
			allowed:   `{"spec": {"parallelism": 4}}`,
			denied:    `{"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "example.com/other"}]}}}}`,
		},
	} {
		before := s.JobField("pi", ".spec.parallelism")
		s.Run("patch", "job", "pi", "--type="+tc.patchType, "--patch="+tc.allowed)
		if after := s.JobField("pi", ".spec.parallelism"); after == before {
			t.Errorf("%s patch did not change parallelism from %s", tc.patchType, after)
		}
		s.ExpectError([]string{"patch", "job", "pi", "--type=" + tc.patchType, "--patch=" + tc.denied},
			`spec.template.spec.containers[name="main"].image`, session.DeniedMessage)
		if image := s.JobField("pi", ".spec.template.spec.containers[0].image"); image != "example.com/work:1" {
			t.Errorf("denied %s patch changed the image to %s", tc.patchType, image)
		}
	}
	s.ExpectError([]string{"patch", "job", "pi", "--type=merge", `--patch={"spec": {"backoffLimit": 1, "suspend": true}, "metadata": {"annotations": {"a": "b"}}}`},
		`metadata.annotations["a"]`, "spec.backoffLimit", "spec.suspend")
}

func TestKubectlEditGated(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	edit := func(expression string) session.Session {
		return s.WithEnv("KUBE_EDITOR", "sed -i -e '"+expression+"'")
	}
	edit("s/parallelism: 1/parallelism: 2/").Run("edit", "job", "pi")
	if got := s.JobField("pi", ".spec.parallelism"); got != "2" {
		t.Errorf("parallelism is %s after kubectl edit, want 2", got)
	}

	// kubectl reopens the editor with the error. It gives up if the user changes nothing, and leaves
	// behind the file that it showed.
	_, _, err := edit("s/backoffLimit: 6/backoffLimit: 7/").WithEnv("TMPDIR", t.TempDir()).Try("edit", "job", "pi")
	if err == nil {
		t.Fatal("kubectl edit of a denied field succeeded")
	}
	_, file, _ := strings.Cut(err.Error(), `has been stored to "`)
	file, _, _ = strings.Cut(file, `"`)
	shown, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatalf("%v; %v", readErr, err)
	}
	if !strings.Contains(string(shown), "# * spec.backoffLimit: Forbidden: "+session.DeniedMessage) {
		t.Errorf("editor does not show the denied field:\n%s", shown)
	}
}

// Each denied field has a line. What is the same for all of them is said once.
func TestKubectlDenialReadsWell(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	editor := s.Editor("dev")
	editor.RunEventually("get", "jobs")
	_, stderr, err := editor.Try(session.MergePatch("pi", `{"spec": {"suspend": true, "backoffLimit": 1, "activeDeadlineSeconds": 9}}`)...)
	want := `The Job "pi" is invalid: 
* spec.activeDeadlineSeconds: Forbidden: may not be updated
* spec.backoffLimit: Forbidden: may not be updated
* spec.suspend: Forbidden: ` + session.DeniedMessage + `; no JobUpdatePolicy grants this change to "dev-` + s.Namespace + `" (kubectl get jup)
`
	if diff := cmp.Diff(want, stderr); err == nil || diff != "" {
		t.Errorf("error %v; kubectl patch prints (-want +got):\n%s", err, diff)
	}
}

func TestKubectlReplaceGated(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi", func(j *batchv1.Job) { j.Spec.Suspend = new(true) }))
	// Once the Job is suspended, the Job controller does not update its status, so replace cannot
	// conflict.
	s.Run("wait", "job", "pi", "--for=condition=Suspended", "--timeout=110s")
	stored := s.Run("get", "job", "pi", "--output=yaml")
	if !strings.Contains(stored, "selfLink: /apis/batch/v1/namespaces/"+s.Namespace+"/jobs/pi") {
		t.Errorf("selfLink is missing in\n%s", stored)
	}
	_, warnings, err := s.WithStdin(strings.Replace(stored, "completions: 1", "completions: 3", 1)).Try("replace", "--filename=-")
	if err != nil || warnings != "" {
		t.Errorf("replacing completions: got error %v and warnings %q", err, warnings)
	}
	if got := s.JobField("pi", ".spec.completions"); got != "3" {
		t.Errorf("completions is %s after kubectl replace, want 3", got)
	}
	stored = s.Run("get", "job", "pi", "--output=yaml")
	s.WithStdin(strings.Replace(stored, "example.com/work:1", "example.com/other", 1)).
		ExpectError([]string{"replace", "--filename=-"}, `spec.template.spec.containers[name="main"].image`, session.DeniedMessage)
}

func TestKubectlLabelAllowedAnnotateDenied(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.Run("label", "job", "pi", "tier=batch")
	if got := s.JobField("pi", ".metadata.labels.tier"); got != "batch" {
		t.Errorf("label tier is %q", got)
	}
	s.ExpectError([]string{"annotate", "job", "pi", "example.com/a=b"}, `metadata.annotations["example.com/a"]`, session.DeniedMessage)
}

func TestKubectlApplyNeedsServerSide(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	withManifest := func(parallelism string) session.Session {
		return s.WithStdin(strings.Replace(session.Manifest(t, session.NewJob("pi")), "parallelism: 1", "parallelism: "+parallelism, 1))
	}
	withManifest("1").Run("apply", "--server-side", "--filename=-")
	withManifest("2").Run("apply", "--server-side", "--filename=-")
	if got := s.JobField("pi", ".spec.parallelism"); got != "2" {
		t.Errorf("parallelism is %s after apply, want 2", got)
	}
	s.WithStdin(strings.Replace(session.Manifest(t, session.NewJob("pi")), "work:1", "work:2", 1)).
		ExpectError([]string{"apply", "--server-side", "--filename=-"}, `spec.template.spec.containers[name="main"].image`, session.DeniedMessage)
	withManifest("3").ExpectError([]string{"apply", "--filename=-"},
		`metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`, "create and update the Job with kubectl apply --server-side")
}

func TestKubectlWaitExplainWatch(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	if text := s.Run("explain", "job.spec.parallelism"); !strings.Contains(text, "maximum desired number of pods") {
		t.Errorf("kubectl explain printed %q", text)
	}

	s.CreateJob(session.NewJob("pi"))
	type result struct {
		events string
		err    error
	}
	started := make(chan struct{})
	signalStart := sync.OnceFunc(func() { close(started) })
	watched := make(chan result, 1)
	go func() {
		done := func(events string) bool {
			if strings.Contains(events, "ADDED") {
				signalStart()
			}
			return strings.Contains(events, "DELETED")
		}
		events, err := s.Kubectl.RunUntil(t.Context(), done, "--namespace="+s.Namespace, "get", "jobs", "--watch", "--output-watch-events")
		watched <- result{events, err}
	}()
	waited := make(chan error, 1)
	go func() {
		_, _, err := s.Try("wait", "job", "pi", "--for=condition=Complete", "--timeout=100s")
		waited <- err
	}()
	<-started
	s.FinishJob("pi", batchv1.JobComplete)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	s.Run("delete", "job", "pi")
	s.Run("wait", "job", "pi", "--for=delete", "--timeout=100s")
	watch := <-watched
	if watch.err != nil {
		t.Error(watch.err)
	}
	for _, want := range []string{"EVENT", "STATUS", "COMPLETIONS", "ADDED", "MODIFIED", "0/1", "1/1", "Complete"} {
		if !strings.Contains(watch.events, want) {
			t.Errorf("kubectl get --watch did not print %q:\n%s", want, watch.events)
		}
	}
}
