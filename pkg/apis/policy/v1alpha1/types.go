// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// JobUpdatePolicy grants changes to fields of existing Jobs. An update of a Job is allowed if
// policies grant each of its changes to the user, for that Job, in that namespace. Otherwise
// the whole update is denied. Policies only add up: no policy takes away what another one
// grants, and without any policy no field of a Job can change.
//
// A policy does not replace validation. For example, the Pod template of a running Job stays
// immutable. Users who can write policies can grant themselves any change.
type JobUpdatePolicy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec defines which changes are granted, to whom, and for which Jobs.
	// +required
	Spec JobUpdatePolicySpec `json:"spec"`
	// status reports whether the policy is active. The server writes it.
	// +optional
	Status JobUpdatePolicyStatus `json:"status,omitempty"`
}

// JobUpdatePolicySpec defines which changes are granted, to whom, and for which Jobs.
type JobUpdatePolicySpec struct {
	// subjects are the users, groups and service accounts that the changes are granted to, with
	// the kinds of RBAC: User, Group and ServiceAccount. Empty means everyone. At most 256.
	// +optional
	// +listType=atomic
	Subjects []rbacv1.Subject `json:"subjects,omitempty"`
	// namespaceSelector selects, by their labels, the namespaces that the policy applies to. Use
	// the label kubernetes.io/metadata.name to select a namespace by its name. Empty, the default,
	// selects all namespaces.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// jobSelector selects the Jobs that the policy applies to, by the labels that they have before
	// the update. Empty, the default, selects all Jobs. Users who may change the labels of a Job
	// can make it match a jobSelector with an earlier update.
	// +optional
	JobSelector *metav1.LabelSelector `json:"jobSelector,omitempty"`
	// fields are the path patterns of the fields whose changes are granted. A pattern includes all
	// paths below it. Examples: spec.suspend, spec.template.spec.nodeSelector,
	// spec.template.spec.containers[*].resources for all elements of a list,
	// spec.template.spec.containers[name="main"].image for the element with this key,
	// metadata.annotations["example.com/ticket"] for one entry of a map,
	// metadata.annotations["example.com/*"] for all keys with a prefix, and * for everything.
	// Fields that batch/v1 Jobs do not have are invalid. At least 1, at most 256.
	// +required
	// +listType=set
	Fields []string `json:"fields"`
	// action is what happens to a granted change. Allow, the default, stores it. Warn stores it
	// too, with a warning to the client, an audit annotation and a metric, unless another policy
	// allows the same change.
	// +optional
	Action Action `json:"action,omitempty"`
}

// Action is what happens to a change that a policy grants: Allow or Warn.
// +enum
type Action string

const (
	// Allow stores the change.
	Allow Action = "Allow"
	// Warn stores the change and warns the client.
	Warn Action = "Warn"
)

const (
	// ConditionReady is the type of the condition that is True if all fields of a policy are
	// active.
	ConditionReady = "Ready"

	// ConditionSupported is the type of the condition that is False if the server cannot decode
	// the whole stored policy, for example after a downgrade. Such a policy grants nothing and can
	// only be deleted. The server sets the condition when it reads the policy and never stores it.
	ConditionSupported = "Supported"

	// ReasonActive is the reason of a Ready condition that is True.
	ReasonActive = "Active"
	// ReasonUnsupportedFields is the reason of a Ready condition that is False because the server
	// does not support a part of the policy. The message says which.
	ReasonUnsupportedFields = "UnsupportedFields"
	// ReasonUndecodable is the reason of a Ready condition that is False because the server cannot
	// decode the stored policy.
	ReasonUndecodable = "Undecodable"
)

// JobUpdatePolicyStatus reports whether a policy is active.
type JobUpdatePolicyStatus struct {
	// observedGeneration is the metadata.generation that the conditions refer to.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are the latest observations of the server. Ready is True once all fields of the
	// policy are active. It is False if the server does not support some of them, for example
	// after a downgrade. These fields grant nothing, and the other fields are still active.
	// Supported is present, and False, only if the server cannot decode the whole policy. Then the
	// policy grants nothing and can only be deleted.
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
