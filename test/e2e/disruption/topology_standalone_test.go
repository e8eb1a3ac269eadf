package disruption

import (
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

func TestTheSandboxKeepsItsJobsToItself(t *testing.T) {
	d := start(t, framework.ClusterOptions{})
	pod, sandbox, err := d.RunStandalone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) error {
		_, _, err := sandbox.Run(t.Context(), append([]string{"--namespace=" + d.namespace}, args...)...)
		return err
	}
	if err := run("create", "job", "work", "--image=example.com/work:1"); err != nil {
		t.Fatal(err)
	}
	if err := run("patch", "job", "work", "--type=merge", `--patch={"spec":{"parallelism":2}}`); err != nil {
		t.Error(err)
	}
	if err := run("annotate", "job", "work", "by=drill"); err == nil || !strings.Contains(err.Error(), refusal) {
		t.Errorf("an annotation is not refused: %v", err)
	}
	if d.isStored(openEtcd(t, []string{d.EtcdURL()}, "", "", ""), "jobs", "work") {
		t.Error("the Job is in the cluster's etcd")
	}
	if err := d.kubectl("get", "job", "work"); err == nil {
		t.Error("the cluster has the Job of the sandbox")
	}
	// A Pod that starts anew has the volume of the one before.
	if err := pod.Processes[0].Stop(); err != nil {
		t.Fatal(err)
	}
	if err := pod.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := pod.WaitUntilReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := run("get", "job", "work"); err != nil {
		t.Error(err)
	}
}
