// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

const (
	managedAnnotations = "resourcetemplate.karmada.io/managed-annotations"
	managedLabels      = "resourcetemplate.karmada.io/managed-labels"
	generation         = "resourcetemplate.karmada.io/generation"
)

// karmada updates Jobs as Karmada's pkg/util/objectwatcher/objectwatcher.go does in a member cluster.
type karmada struct{ tool }

// karmadaJob is the manifest in the Work of a Job. It has the annotations of ensureWork and
// CreateOrUpdateWork.
func karmadaJob(name, templateGeneration string, changes ...change) *batchv1.Job {
	job := session.NewJob(name, changes...)
	maps.Copy(job.Labels, map[string]string{"karmada.io/managed": "true", "work.karmada.io/permanent-id": "a"})
	maps.Copy(job.Annotations, map[string]string{
		generation:                               templateGeneration,
		"propagationpolicy.karmada.io/name":      "jobs",
		"propagationpolicy.karmada.io/namespace": "default",
		"resourcebinding.karmada.io/name":        name + "-job",
		"resourcebinding.karmada.io/namespace":   "default",
		"resourcetemplate.karmada.io/uid":        "b",
		"work.karmada.io/conflict-resolution":    "overwrite",
		"work.karmada.io/name":                   name,
		"work.karmada.io/namespace":              "karmada-es-member1",
		managedAnnotations:                       "",
		managedLabels:                            "",
	})
	job.Annotations[managedAnnotations] = strings.Join(slices.Sorted(maps.Keys(job.Annotations)), ",")
	job.Annotations[managedLabels] = strings.Join(slices.Sorted(maps.Keys(job.Labels)), ",")
	return job
}

// update does what Update does: a PUT of the manifest, with what the member cluster has added.
func (k karmada) update(job *batchv1.Job) error {
	return k.put(job.Name, func(j *batchv1.Job) {
		observed := j.DeepCopy()
		*j = *job.DeepCopy()
		j.ResourceVersion = observed.ResourceVersion
		j.Finalizers, j.OwnerReferences = observed.Finalizers, observed.OwnerReferences
		j.Annotations = retain(job.Annotations, observed.Annotations, observed.Annotations[managedAnnotations])
		j.Labels = retain(job.Labels, observed.Labels, observed.Annotations[managedLabels])
		j.Spec.Selector = observed.Spec.Selector
		j.Spec.Template.Labels = observed.Spec.Template.Labels
	})
}

// retain adds the observed entries that do not come from Karmada.
func retain(desired, observed map[string]string, managedKeys string) map[string]string {
	all := union(nil, maps.Clone(observed))
	for key := range strings.SplitSeq(managedKeys, ",") {
		delete(all, key)
	}
	return union(all, desired)
}

func TestExampleKarmadaAllowsPropagation(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	policy := readExample(t, "karmada")
	k := karmada{newTool(s, policy)}
	retryWrite(s, func() error { // kube-apiserver may not know the role yet
		_, err := k.jobs.Create(t.Context(), karmadaJob("pi", "1"), metav1.CreateOptions{})
		return err
	})
	s.Run("label", "job", "pi", "example.com/member=label")
	existing, args := clientSideApply(s, session.NewJob("existing"))
	existing.Run(args...)

	path := func(annotation string) string { return `metadata.annotations["` + annotation + `"]` }
	scaled := karmadaJob("pi", "2", parallelism(2))
	expectDenied(s, k.update(scaled), path(generation))
	var adopted []string
	for annotation := range karmadaJob("existing", "1").Annotations {
		adopted = append(adopted, path(annotation))
	}
	expectDenied(s, k.update(karmadaJob("existing", "1")), adopted...)

	applyExample(s, policy)
	retryWrite(s, func() error { return k.update(scaled) })
	tier := labels(map[string]string{"tier": "batch"})
	for _, job := range []*batchv1.Job{karmadaJob("pi", "3", parallelism(2), tier), karmadaJob("existing", "1", parallelism(2), tier)} {
		if err := k.update(job); err != nil {
			t.Error(err)
		}
		if got := s.Job(job.Name); *got.Spec.Parallelism != 2 || got.Labels["tier"] != "batch" || got.Annotations[generation] != job.Annotations[generation] {
			t.Errorf("%s has parallelism %d, labels %v and annotations %v", job.Name, *got.Spec.Parallelism, got.Labels, got.Annotations)
		}
	}
	if got := s.JobField("pi", `.metadata.labels.example\.com/member`); got != "label" {
		t.Errorf("label of the member cluster is %q after propagation", got)
	}
	// A template that loses its label.
	if err := k.update(karmadaJob("pi", "4")); err != nil {
		t.Error(err)
	}
	if got := s.Job("pi"); got.Labels["tier"] != "" || *got.Spec.Parallelism != 1 {
		t.Errorf("parallelism is %d and labels are %v after the template lost a label", *got.Spec.Parallelism, got.Labels)
	}

	expectDenied(s, k.update(karmadaJob("pi", "5", func(j *batchv1.Job) { j.Annotations["example.com/note"] = "" })), path("example.com/note"))
	expectDenied(s, k.update(karmadaJob("pi", "5", suspended)), "spec.suspend")
	expectDenied(s, k.update(karmadaJob("pi", "5", func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "example.com/other" })),
		`spec.template.spec.containers[name="main"].image`)
}
