package v1alpha1

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// JobUpdatePolicy grants changes of fields of Jobs that exist. An update of a Job is allowed
// if every change in it is granted by some policy to the user who asks, for that Job, in that
// namespace; otherwise all of it is refused. Policies only add: none takes away what another
// one grants, and without any policy nothing of a Job can be changed.
//
// A policy lifts the gate only. The validation of Jobs still holds, so that, for example, the
// Pod template of a running Job stays immutable. Whoever can write policies can grant
// themselves any change.
type JobUpdatePolicy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which changes are granted, to whom, and of which Jobs.
	// +required
	Spec JobUpdatePolicySpec `json:"spec"`
	// status says whether the policy is in force. It is written by the server.
	// +optional
	Status JobUpdatePolicyStatus `json:"status,omitempty"`
}

// JobUpdatePolicySpec says which changes are granted, to whom, and of which Jobs.
type JobUpdatePolicySpec struct {
	// subjects are the users, groups and service accounts that the changes are granted to. The
	// kinds are those of RBAC: User, Group and ServiceAccount. Empty means everybody. At most 256.
	// +optional
	// +listType=atomic
	Subjects []rbacv1.Subject `json:"subjects,omitempty"`
	// namespaceSelector selects, by their labels, the namespaces in which the changes are granted.
	// The label kubernetes.io/metadata.name selects a namespace by its name. Empty, the default,
	// selects all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// jobSelector selects the Jobs of which changes are granted, by the labels they have before
	// the update. Labels that an update sets do not count in it. Empty, the default, selects all.
	// Everybody whom a policy lets change labels can put a Job under a jobSelector with another
	// update before.
	// +optional
	JobSelector *metav1.LabelSelector `json:"jobSelector,omitempty"`
	// fields are the paths of the fields whose changes are granted. A path grants all below it.
	// Examples: spec.suspend, spec.template.spec.nodeSelector,
	// spec.template.spec.containers[*].resources for all elements of a list,
	// spec.template.spec.containers[name="main"].image for one of them by its key,
	// metadata.annotations["example.com/ticket"] for a key of a map,
	// metadata.annotations["example.com/*"] for all keys with a prefix, and * for everything.
	// Paths that batch/v1 Jobs do not have are refused. At least one, at most 256.
	// +required
	// +listType=set
	Fields []string `json:"fields"`
	// action is what happens to a granted change. Allow, the default, lets it through. Warn lets
	// it through with a warning to the client, an audit annotation and a metric; a change that
	// another policy allows is not warned about.
	// +optional
	Action Action `json:"action,omitempty"`
}

// Action is what happens to a change that a policy grants: Allow or Warn.
// +enum
type Action string

const (
	// Allow lets the change through.
	Allow Action = "Allow"
	// Warn lets the change through with a warning.
	Warn Action = "Warn"
)

// ConditionReady is the type of the condition that says whether all of a policy is in force.
const ConditionReady = "Ready"

// JobUpdatePolicyStatus says whether a policy is in force.
type JobUpdatePolicyStatus struct {
	// observedGeneration is the metadata.generation that the conditions are about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are what the server has found out about the policy. Ready is True once all of it
	// is in force, and False if the server does not know some of its fields, as after a downgrade.
	// Those grant nothing; the other fields are in force all the same.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// JobUpdatePolicyList is a list of policies.
type JobUpdatePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the policies.
	Items []JobUpdatePolicy `json:"items"`
}
