// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/test/framework"
)

// mpiOperator is the name of Kubeflow's MPI Operator, of its namespace and of its service account.
const mpiOperator = "mpi-operator"

// mpiTools starts MPI Operator.
func mpiTools(t *testing.T) []tool {
	binary, err := framework.BuildTool(t.Context(), mpiOperator)
	if err != nil {
		t.Fatal(err)
	}
	source, err := downloadModule(t.Context(), mpiOperator, "github.com/kubeflow/mpi-operator")
	if err != nil {
		t.Fatal(err)
	}
	session{t: t, namespace: mpiOperator}.run("apply", "--server-side", "--kustomize="+filepath.Join(source.Dir, "manifests", "overlays", "standalone"))
	kubectl(t, "wait", "crd", "mpijobs.kubeflow.org", "--for=condition=Established", "--timeout=110s")
	kubeconfig := filepath.Join(cluster.Dir, "mpi-operator.kubeconfig")
	if err := cluster.WriteServiceAccountKubeconfig(t.Context(), mpiOperator, mpiOperator, kubeconfig); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.StartController(mpiOperator, binary, "--kubeConfig="+kubeconfig); err != nil {
		t.Fatal(err)
	}
	return []tool{{name: "MPI Operator", version: source.Version, policy: examplePolicyFile(mpiOperator), run: runMPIJobs}}
}

// mpiJob is an MPIJob, whose launcher is a Job. The fake kubelet holds the launcher's Pod.
const mpiJob = `
apiVersion: kubeflow.org/v2beta1
kind: MPIJob
metadata: {name: %s}
spec:
  runPolicy: {suspend: %t}
  mpiReplicaSpecs:
    Launcher:
      template:
        metadata: {annotations: {%s: "true"}}
        spec: {containers: [{name: launcher, image: "example.com/mpi:1"}]}
    Worker:
      replicas: 2
      template:
        spec: {containers: [{name: worker, image: "example.com/mpi:1"}]}
`

// runMPIJobs suspends one MPIJob and resumes another one.
func runMPIJobs(r *toolRun) {
	r.t.Helper()
	running := func(job *batchv1.Job) bool { return job.Status.Active == 1 }
	suspended := func(job *batchv1.Job) bool { return job.Spec.Suspend != nil && *job.Spec.Suspend }
	r.create(fmt.Sprintf(mpiJob, "running", false, framework.HoldAnnotation))
	r.record("create an MPIJob", awaitLauncher(r, "running", running))
	r.run("patch", "mpijob", "running", "--type=merge", `--patch={"spec":{"runPolicy":{"suspend":true}}}`)
	r.record("suspend it", awaitLauncher(r, "running", suspended))

	r.create(fmt.Sprintf(mpiJob, "suspended", true, framework.HoldAnnotation))
	r.record("create a suspended MPIJob", awaitLauncher(r, "suspended", suspended))
	r.run("patch", "mpijob", "suspended", "--type=merge", `--patch={"spec":{"runPolicy":{"suspend":false},"mpiReplicaSpecs":{"Launcher":{"template":{
		"metadata":{"labels":{"team":"a"}},"spec":{"nodeSelector":{"kubernetes.io/os":"linux"}}}}}}}`)
	r.record("resume it with a node selector and a label", awaitLauncher(r, "suspended", func(job *batchv1.Job) bool {
		template := job.Spec.Template
		return running(job) && template.Labels["team"] == "a" && template.Spec.NodeSelector["kubernetes.io/os"] == "linux"
	}))
	r.run("delete", "mpijob", "running", "suspended")
	r.eventually("lose its launchers", func() error {
		return errors.Join(r.checkGone("running-launcher"), r.checkGone("suspended-launcher"))
	})
}

// awaitLauncher waits until the launcher of an MPIJob is as wanted, or until the gate has denied an
// update by MPI Operator, which returns an error.
func awaitLauncher(r *toolRun, name string, want func(*batchv1.Job) bool) (denied error) {
	r.t.Helper()
	name += "-launcher"
	r.eventually("have its launcher updated", func() error {
		events, _, err := cluster.AuditEvents(0, "/namespaces/"+r.namespace+"/jobs/"+name)
		if err != nil {
			return err
		}
		for _, event := range events {
			if event.Annotations[policy.AuditDecision] == "deny" {
				denied = errors.New(event.ResponseStatus.Message)
				return nil
			}
		}
		job, err := cluster.Client.BatchV1().Jobs(r.namespace).Get(r.t.Context(), name, metav1.GetOptions{})
		if err == nil && !want(job) {
			err = fmt.Errorf("it is %+v %+v", job.Spec, job.Status)
		}
		return err
	})
	return denied
}
