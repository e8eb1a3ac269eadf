// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// JobUpdatePolicy grants changes to fields of Jobs. See v1alpha1 for the meaning of the fields.
type JobUpdatePolicy struct {
	metav1.TypeMeta
	metav1.ObjectMeta

	Spec   JobUpdatePolicySpec
	Status JobUpdatePolicyStatus
}

// JobUpdatePolicySpec defines which changes are granted, to whom, and for which Jobs.
type JobUpdatePolicySpec struct {
	Subjects          []rbacv1.Subject
	NamespaceSelector *metav1.LabelSelector
	JobSelector       *metav1.LabelSelector
	Fields            []string
	Action            Action
}

// Action is what happens to a change that a policy grants.
type Action string

const (
	// Allow stores the change.
	Allow Action = "Allow"
	// Warn stores the change and warns the client.
	Warn Action = "Warn"
)

// JobUpdatePolicyStatus reports whether a policy is active.
type JobUpdatePolicyStatus struct {
	ObservedGeneration int64
	Conditions         []metav1.Condition
}

// ConditionReady is the type of the condition that is True if all fields of a policy are active.
const ConditionReady = "Ready"

// ConditionSupported is the type of the condition that is False if this release cannot decode the
// whole policy.
const ConditionSupported = "Supported"

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// JobUpdatePolicyList is a list of policies.
type JobUpdatePolicyList struct {
	metav1.TypeMeta
	metav1.ListMeta

	Items []JobUpdatePolicy
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// SelfJobUpdateReview asks which fields of a Job its creator may change. See v1alpha1 for the
// meaning of the fields.
type SelfJobUpdateReview struct {
	metav1.TypeMeta
	metav1.ObjectMeta

	Spec   SelfJobUpdateReviewSpec
	Status JobUpdateReviewStatus
}

// SelfJobUpdateReviewSpec says which Job and fields a review is about.
type SelfJobUpdateReviewSpec struct {
	Job    ReviewedJob
	Fields []string
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// JobUpdateReview asks which fields of a Job another user may change.
type JobUpdateReview struct {
	metav1.TypeMeta
	metav1.ObjectMeta

	Spec   JobUpdateReviewSpec
	Status JobUpdateReviewStatus
}

// JobUpdateReviewSpec says which user, Job and fields a review is about.
type JobUpdateReviewSpec struct {
	User   string
	Groups []string
	Job    ReviewedJob
	Fields []string
}

// ReviewedJob is a Job in the namespace of a review.
type ReviewedJob struct {
	Name   string
	Labels map[string]string
}

// JobUpdateReviewStatus is the answer to a review.
type JobUpdateReviewStatus struct {
	UpdatableFields     []UpdatableField
	MoreUpdatableFields int32
	Fields              []FieldReview
}

// UpdatableField is a path pattern that policies grant.
type UpdatableField struct {
	Field    string
	Action   Action
	Policies []string
}

// FieldReview says whether an update may change a field.
type FieldReview struct {
	Field    string
	Decision ReviewDecision
	Policies []string
	Reason   string
}

// ReviewDecision is what happens to an update that changes a field.
type ReviewDecision string

const (
	// ReviewAllow means that an update may change the field.
	ReviewAllow ReviewDecision = "Allow"
	// ReviewWarn means that an update may change the field, and that the client gets a warning.
	ReviewWarn ReviewDecision = "Warn"
	// ReviewDeny means that an update that changes the field is denied.
	ReviewDeny ReviewDecision = "Deny"
)
