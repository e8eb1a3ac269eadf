package fieldpolicy

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// serverOwned lists the metadata that never counts as a change: the server keeps its own
// value (creationTimestamp, generation, ...), or checks the sent one before the gate is
// asked (name, uid, resourceVersion).
var serverOwned = []string{
	"metadata.creationTimestamp",
	"metadata.deletionGracePeriodSeconds",
	"metadata.deletionTimestamp",
	"metadata.generation",
	"metadata.managedFields",
	"metadata.name",
	"metadata.namespace",
	"metadata.resourceVersion",
	"metadata.selfLink",
	"metadata.uid",
}

// whole is a field that Keep takes over from the new Job where a policy grants all of it.
type whole struct {
	path  string
	take  func(to, from *batch.Job)
	equal func(a, b *batch.Job) bool
}

// wholes are the fields that are granted as a whole most often: those of the bootstrap
// policies, and annotations and suspend. Grants of others are for Judge.
var wholes = [...]whole{
	{
		"metadata.annotations",
		func(to, from *batch.Job) { to.Annotations = from.Annotations },
		func(a, b *batch.Job) bool { return maps.Equal(a.Annotations, b.Annotations) },
	},
	{
		"metadata.finalizers",
		func(to, from *batch.Job) { to.Finalizers = from.Finalizers },
		func(a, b *batch.Job) bool { return slices.Equal(a.Finalizers, b.Finalizers) },
	},
	{
		"metadata.labels",
		func(to, from *batch.Job) { to.Labels = from.Labels },
		func(a, b *batch.Job) bool { return maps.Equal(a.Labels, b.Labels) },
	},
	{
		"metadata.ownerReferences",
		func(to, from *batch.Job) { to.OwnerReferences = from.OwnerReferences },
		func(a, b *batch.Job) bool {
			return equalLists(a.OwnerReferences, b.OwnerReferences, equalOwnerReference)
		},
	},
	{
		"spec.completions",
		func(to, from *batch.Job) { to.Spec.Completions = from.Spec.Completions },
		func(a, b *batch.Job) bool { return equalOptional(a.Spec.Completions, b.Spec.Completions) },
	},
	{
		"spec.parallelism",
		func(to, from *batch.Job) { to.Spec.Parallelism = from.Spec.Parallelism },
		func(a, b *batch.Job) bool { return equalOptional(a.Spec.Parallelism, b.Spec.Parallelism) },
	},
	{
		"spec.selector",
		func(to, from *batch.Job) { to.Spec.Selector = from.Spec.Selector },
		func(a, b *batch.Job) bool { return equalPointers(a.Spec.Selector, b.Spec.Selector, equalLabelSelector) },
	},
	{
		"spec.suspend",
		func(to, from *batch.Job) { to.Spec.Suspend = from.Spec.Suspend },
		func(a, b *batch.Job) bool { return equalOptional(a.Spec.Suspend, b.Spec.Suspend) },
	},
}

// mask is a set of wholes, a bit each.
type mask uint16

func (m mask) has(i int) bool { return m&(1<<i) != 0 }

// keep returns old with the fields of granted taken from new, and whether that is all that
// differs.
func keep(new, old *batch.Job, granted mask) (*batch.Job, bool) {
	kept := *old
	kept.ObjectMeta = settledMetadata(old, new, old)
	for i := range wholes {
		if granted.has(i) {
			wholes[i].take(&kept, new)
		}
	}
	kept.Status = new.Status
	equal := kept.GenerateName == new.GenerateName &&
		maps.Equal(kept.Labels, new.Labels) &&
		maps.Equal(kept.Annotations, new.Annotations) &&
		slices.Equal(kept.Finalizers, new.Finalizers) &&
		equalLists(kept.OwnerReferences, new.OwnerReferences, equalOwnerReference) &&
		equalJobSpec(&kept.Spec, &new.Spec)
	if !equal {
		return nil, false
	}
	return &kept, true
}

// Settle returns the Job to store for an update that Judge allows: judged, which is the Job
// of the verdict, with the status of new and the metadata that is the server's.
func Settle(judged, new, old *batch.Job) *batch.Job {
	settled := *judged
	settled.ObjectMeta = settledMetadata(judged, new, old)
	settled.Status = new.Status
	return &settled
}

// settledMetadata returns the metadata to store: what can be granted from one Job, and of
// the fields of serverOwned the stored value, or that of new where the registry fills it in or
// checks it.
func settledMetadata(granted, new, old *batch.Job) metav1.ObjectMeta {
	meta := new.ObjectMeta
	meta.SelfLink = old.SelfLink
	meta.CreationTimestamp = old.CreationTimestamp
	meta.DeletionTimestamp = old.DeletionTimestamp
	meta.DeletionGracePeriodSeconds = old.DeletionGracePeriodSeconds
	meta.GenerateName = granted.GenerateName
	meta.Labels = granted.Labels
	meta.Annotations = granted.Annotations
	meta.Finalizers = granted.Finalizers
	meta.OwnerReferences = granted.OwnerReferences
	return meta
}
