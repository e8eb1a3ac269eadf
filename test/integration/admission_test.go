// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/apiserver"
)

// jobMutator changes Jobs during an update like a mutating webhook: after the server applied the
// client's change and before the gate evaluates it. The label mutateLabel selects the mutation.
type jobMutator struct{}

var _ admission.MutationInterface = jobMutator{}

const mutateLabel = "mutate"

// Handles implements admission.Interface.
func (jobMutator) Handles(operation admission.Operation) bool { return operation == admission.Update }

// Admit implements admission.MutationInterface.
func (jobMutator) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	job, ok := a.GetObject().(*batch.Job)
	if !ok {
		return nil
	}
	switch job.Labels[mutateLabel] {
	case "label":
		job.Labels["mutated"] = "yes"
	case "parallelism":
		*job.Spec.Parallelism = 7
	case "annotation":
		job.Annotations = map[string]string{"mutated": "yes"}
	case "image":
		job.Spec.Template.Spec.Containers[0].Image = "python"
	case "finalizers":
		job.Finalizers = nil
	case "status":
		job.Status.Succeeded = 3
	}
	return nil
}

func TestMutatingAdmissionGated(t *testing.T) {
	t.Parallel()
	s := newServer(t, setup{config: func(config *apiserver.Config) { config.Generic.AdmissionControl = jobMutator{} }})
	type mutated struct {
		want  func(*batchv1.Job) // nil if the gate denies the mutation
		paths []string           // the denied paths
	}
	unchanged := mutated{want: func(*batchv1.Job) {}}
	label := mutated{want: func(job *batchv1.Job) { job.Labels["mutated"] = "yes" }}
	annotation := mutated{paths: []string{
		`metadata.annotations["example.com/note"]`, `metadata.annotations["example.com/other"]`, `metadata.annotations["mutated"]`,
	}}
	finalizers := mutated{paths: []string{`metadata.finalizers["example.com/hold"]`}}
	for subresource, rows := range map[string]map[string]mutated{
		"": {
			"label":       label,
			"parallelism": {want: func(job *batchv1.Job) { *job.Spec.Parallelism = 7 }},
			"status":      unchanged,
			"annotation":  annotation,
			"image":       {paths: []string{`spec.template.spec.containers[name="main"].image`}},
			"finalizers":  finalizers,
		},
		"/status": {
			"label":       label,
			"parallelism": unchanged,
			"status":      {want: func(job *batchv1.Job) { job.Status.Succeeded = 3 }},
			"annotation":  annotation,
			"image":       unchanged,
			"finalizers":  finalizers,
		},
	} {
		message := deniedMessage
		if subresource != "" {
			message = deniedStatusMessage
		}
		for what, row := range rows {
			for _, update := range updateTypes {
				t.Run(what+" mutated on "+update.name+" of "+resourceName(subresource), func(t *testing.T) {
					t.Parallel()
					namespace := newNamespace()
					original := s.admin.apply(t, namespace, newJob(t))
					before := s.read(t, jobKey(namespace, "pi"))
					body := update.bodyFor(t, `[{"op":"add","path":"/metadata/labels/`+mutateLabel+`","value":"`+what+`"}]`, original)
					r := update.send(t, s.admin, jobPath(namespace, "pi")+subresource, body, false).result(t)
					after := s.read(t, jobKey(namespace, "pi"))
					if row.want == nil {
						r.expectDeniedWith(t, message, row.paths)
						after.expectUnchanged(t, before)
						return
					}
					if r.code != http.StatusOK {
						t.Fatalf("got status %d: %s", r.code, r.status.Message)
					}
					want := before.job(t)
					want.Labels[mutateLabel] = what
					row.want(want)
					if diff := cmp.Diff(want, after.job(t), ignoreBookkeeping); diff != "" {
						t.Errorf("stored Job (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}
