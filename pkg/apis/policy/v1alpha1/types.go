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

// +genclient
// +genclient:onlyVerbs=create
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// SelfJobUpdateReview asks which fields of a Job its creator may change. The response has the
// answer in its status. The server stores nothing. The answer is about policies and the rules of
// Kubernetes. RBAC decides separately whether the user may update Jobs.
type SelfJobUpdateReview struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata. Only the namespace may be set.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which Job and fields the review is about.
	// +optional
	Spec SelfJobUpdateReviewSpec `json:"spec,omitempty"`
	// status is the answer. The server writes it.
	// +optional
	Status JobUpdateReviewStatus `json:"status,omitempty"`
}

// SelfJobUpdateReviewSpec says which Job and fields a review is about.
type SelfJobUpdateReviewSpec struct {
	// job is the Job that the review is about. Empty, the default, is a new Job without labels.
	// +optional
	Job ReviewedJob `json:"job,omitempty"`
	// fields are path patterns to check, in the form that JobUpdatePolicies use. At most 64.
	// +optional
	// +listType=set
	Fields []string `json:"fields,omitempty"`
}

// +genclient
// +genclient:onlyVerbs=create
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// JobUpdateReview asks which fields of a Job another user may change. The response has the answer
// in its status. The server stores nothing. RBAC decides separately whether the user may update
// Jobs.
type JobUpdateReview struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata. Only the namespace may be set.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which user, Job and fields the review is about.
	// +required
	Spec JobUpdateReviewSpec `json:"spec"`
	// status is the answer. The server writes it.
	// +optional
	Status JobUpdateReviewStatus `json:"status,omitempty"`
}

// JobUpdateReviewSpec says which user, Job and fields a review is about. At least one of user and
// groups is required.
type JobUpdateReviewSpec struct {
	// user is the name of the user, at most 1024 bytes long. A service account has the name
	// system:serviceaccount:NAMESPACE:NAME.
	// +optional
	User string `json:"user,omitempty"`
	// groups are the groups of the user, at most 256, each at most 1024 bytes long. The server adds none,
	// so list groups such as system:authenticated too.
	// +optional
	// +listType=set
	Groups []string `json:"groups,omitempty"`
	// job is the Job that the review is about. Empty, the default, is a new Job without labels.
	// +optional
	Job ReviewedJob `json:"job,omitempty"`
	// fields are path patterns to check, in the form that JobUpdatePolicies use. At most 64.
	// +optional
	// +listType=set
	Fields []string `json:"fields,omitempty"`
}

// ReviewedJob is a Job in the namespace of a review.
type ReviewedJob struct {
	// name is the name of an existing Job. The creator of the review must be allowed to get it.
	// +optional
	Name string `json:"name,omitempty"`
	// labels are the labels of a Job that does not exist yet, at most 256. They may not be set together
	// with name.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
}

// JobUpdateReviewStatus is the answer to a review.
type JobUpdateReviewStatus struct {
	// updatableFields are the path patterns that policies grant to the user for this Job, sorted. At
	// most 1000.
	// +optional
	// +listType=map
	// +listMapKey=field
	UpdatableFields []UpdatableField `json:"updatableFields,omitempty"`
	// moreUpdatableFields is the number of updatable fields that are not listed.
	// +optional
	MoreUpdatableFields int32 `json:"moreUpdatableFields,omitempty"`
	// fields has the result for each of spec.fields, in the same order.
	// +optional
	// +listType=map
	// +listMapKey=field
	Fields []FieldReview `json:"fields,omitempty"`
}

// UpdatableField is a path pattern that policies grant.
type UpdatableField struct {
	// field is the path pattern.
	Field string `json:"field"`
	// action is Allow if any policy with this action grants the pattern. Otherwise it is Warn.
	Action Action `json:"action"`
	// policies are the names of the policies that grant the pattern with this action, sorted. At most
	// 10.
	// +listType=atomic
	Policies []string `json:"policies"`
}

// FieldReview says whether an update may change a field.
type FieldReview struct {
	// field is the path pattern from the spec.
	Field string `json:"field"`
	// decision is Allow, Warn or Deny. Policies must grant all paths that the pattern matches. A rule
	// of Kubernetes only leads to Deny if it forbids each change that the server has tried.
	Decision ReviewDecision `json:"decision"`
	// policies are the names of the policies that grant the field, sorted. At most 50.
	// +optional
	// +listType=atomic
	Policies []string `json:"policies,omitempty"`
	// reason says why the decision is Deny: no policy grants the field, or adding a missing parent of
	// it, or a rule of Kubernetes forbids the change in the current state of the Job. An update can
	// still be rejected for its values, or by an admission plugin. If the decision is not Deny, reason
	// says that the rules of Kubernetes were not checked, because the Job is large and the review has
	// too many fields for it.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// ReviewDecision is what happens to an update that changes a field: Allow, Warn or Deny.
// +enum
type ReviewDecision string

const (
	// ReviewAllow means that an update may change the field.
	ReviewAllow ReviewDecision = "Allow"
	// ReviewWarn means that an update may change the field, and that the client gets a warning.
	ReviewWarn ReviewDecision = "Warn"
	// ReviewDeny means that an update that changes the field is denied.
	ReviewDeny ReviewDecision = "Deny"
)
