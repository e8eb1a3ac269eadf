package fieldpolicy

import (
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// Updatable lists the fields that every user may change in an update of a Job, sorted.
// A path stands for everything below it.
var Updatable = []string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"}

// garbageCollector lists the fields that only the garbage collector may change besides
// those of [Updatable]: it removes the finalizers that deletion propagation is made of,
// and the owner references of orphans.
var garbageCollector = []string{"metadata.finalizers", "metadata.ownerReferences"}

// garbageCollectors are the identities the garbage collector runs under:
// its own service account where kube-controller-manager runs with
// --use-service-account-credentials, else that of kube-controller-manager.
var garbageCollectors = []string{
	"system:serviceaccount:kube-system:generic-garbage-collector",
	"system:kube-controller-manager",
}

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

// User is who asks for the update.
type User struct {
	// Name is the authenticated user name; the empty name has no grants.
	Name string
}

// granted returns the fields that the user may change besides those of [Updatable].
func (u User) granted() []string {
	if slices.Contains(garbageCollectors, u.Name) {
		return garbageCollector
	}
	return nil
}

// Keep returns the Job to store for an update from old to new, and whether the update is
// allowed. Where it is, the result is old with what may change taken from new, so that a
// field that is equal in meaning keeps the bytes that are stored (a quantity of 1Gi sent
// as 1073741824 stays 1Gi). Where it is not, the result is nil and [Refused] says why.
//
// The result shares memory with both arguments, and neither is changed. Its status is
// that of new: which of the two statuses counts depends on the endpoint.
func Keep(new, old *batch.Job, user User) (*batch.Job, bool) {
	kept := *old
	kept.ObjectMeta = new.ObjectMeta
	kept.GenerateName = old.GenerateName
	kept.SelfLink = old.SelfLink
	kept.CreationTimestamp = old.CreationTimestamp
	kept.DeletionTimestamp = old.DeletionTimestamp
	kept.DeletionGracePeriodSeconds = old.DeletionGracePeriodSeconds
	kept.Annotations = old.Annotations
	if user.granted() == nil {
		kept.Finalizers = old.Finalizers
		kept.OwnerReferences = old.OwnerReferences
	}
	kept.Spec.Completions = new.Spec.Completions
	kept.Spec.Parallelism = new.Spec.Parallelism
	kept.Spec.Selector = new.Spec.Selector
	kept.Status = new.Status

	equal := kept.GenerateName == new.GenerateName &&
		apiequality.Semantic.DeepEqual(kept.Annotations, new.Annotations) &&
		apiequality.Semantic.DeepEqual(kept.Finalizers, new.Finalizers) &&
		apiequality.Semantic.DeepEqual(kept.OwnerReferences, new.OwnerReferences) &&
		apiequality.Semantic.DeepEqual(&kept.Spec, &new.Spec)
	if !equal {
		return nil, false
	}
	return &kept, true
}
