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
