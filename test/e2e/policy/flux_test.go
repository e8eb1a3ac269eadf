// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// flux applies Jobs as ssa/manager_apply.go of fluxcd/pkg does, with the options of kustomize-controller.
type flux struct{ tool }

const kustomizeController = "kustomize-controller"

func (f flux) apply(job *batchv1.Job, dryRun ...string) error {
	manifest, err := json.Marshal(job)
	if err != nil {
		return err
	}
	options := metav1.PatchOptions{FieldManager: kustomizeController, Force: ptr.To(true), DryRun: dryRun}
	_, err = f.jobs.Patch(f.T.Context(), job.Name, types.ApplyPatchType, manifest, options)
	return err
}

// cleanUp does what cleanupMetadata does: it removes the annotation of client-side apply, and makes Flux
// the manager of the fields that kubectl manages.
func (f flux) cleanUp(name string) error {
	job, err := f.jobs.Get(f.T.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	var patch []map[string]any
	if _, ok := job.Annotations["kubectl.kubernetes.io/last-applied-configuration"]; ok {
		patch = append(patch, map[string]any{"op": "remove", "path": "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration"})
	}
	replaced := false
	for i := range job.ManagedFields {
		if entry := &job.ManagedFields[i]; entry.Subresource == "" && strings.HasPrefix(entry.Manager, "kubectl") {
			entry.Manager, entry.Operation, replaced = kustomizeController, metav1.ManagedFieldsOperationApply, true
		}
	}
	if replaced {
		patch = append(patch, map[string]any{"op": "replace", "path": "/metadata/managedFields", "value": job.ManagedFields})
	}
	if len(patch) == 0 {
		return nil
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = f.jobs.Patch(f.T.Context(), name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: kustomizeController})
	return err
}

// reconcile does what ApplyAll does with each object that exists.
func (f flux) reconcile(job *batchv1.Job) error {
	if err := f.apply(job, metav1.DryRunAll); err != nil {
		return err
	}
	if err := f.cleanUp(job.Name); err != nil {
		return err
	}
	return f.apply(job)
}

func labels(all map[string]string) change {
	return func(j *batchv1.Job) { maps.Copy(j.Labels, all) }
}

func TestExampleFluxAllowsAdoption(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	policy := readExample(t, "flux")
	f := flux{newTool(s, policy)}
	owner := labels(map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"})
	first, args := clientSideApply(s, session.NewJob("pi", labels(map[string]string{"tier": "batch"})))
	first.Run(args...)

	adopted := session.NewJob("pi", owner, parallelism(2))
	retryWrite(s, func() error { return f.apply(adopted, metav1.DryRunAll) })
	expectDenied(s, f.reconcile(adopted), lastApplied)
	applyExample(s, policy)
	retryWrite(s, func() error { return f.reconcile(adopted) })
	got := s.Job("pi")
	if _, left := got.Annotations["kubectl.kubernetes.io/last-applied-configuration"]; left || *got.Spec.Parallelism != 2 {
		t.Errorf("annotations are %v and parallelism is %d after adoption", got.Annotations, *got.Spec.Parallelism)
	}
	// Flux removes what its manifest leaves out, because it manages all fields that kubectl managed.
	if got.Labels["kustomize.toolkit.fluxcd.io/name"] != "apps" || got.Labels["tier"] != "" {
		t.Errorf("labels are %v after adoption", got.Labels)
	}
	for _, entry := range got.ManagedFields {
		if strings.HasPrefix(entry.Manager, "kubectl") {
			t.Errorf("%s still manages fields: %s", entry.Manager, entry.FieldsV1)
		}
	}

	// The bootstrap policies grant changes of parallelism. Other changes stay denied.
	if err := f.reconcile(session.NewJob("pi", owner, parallelism(3))); err != nil {
		t.Error(err)
	}
	err := f.reconcile(session.NewJob("pi", owner, func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "example.com/other" }))
	expectDenied(s, err, `spec.template.spec.containers[name="main"].image`)
	if !apierrors.IsInvalid(err) {
		t.Errorf("Flux recreates a Job with spec.force if the error is Invalid, but it is %v", err)
	}
	expectDenied(s, f.reconcile(session.NewJob("pi", owner, func(j *batchv1.Job) { j.Annotations["other"] = "" })), `metadata.annotations["other"]`)
}
