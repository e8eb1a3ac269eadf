package policy

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// JobUpdatePolicy grants changes of fields of Jobs. What each field means is said in
// v1alpha1.
type JobUpdatePolicy struct {
	metav1.TypeMeta
	metav1.ObjectMeta

	Spec   JobUpdatePolicySpec
	Status JobUpdatePolicyStatus
}

// JobUpdatePolicySpec says which changes are granted, to whom, and of which Jobs.
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
	// Allow lets the change through.
	Allow Action = "Allow"
	// Warn lets the change through with a warning.
	Warn Action = "Warn"
)

// JobUpdatePolicyStatus says whether a policy is in force.
type JobUpdatePolicyStatus struct {
	ObservedGeneration int64
	Conditions         []metav1.Condition
}

// ConditionReady is the type of the condition that says whether all of a policy is in force.
const ConditionReady = "Ready"

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// JobUpdatePolicyList is a list of policies.
type JobUpdatePolicyList struct {
	metav1.TypeMeta
	metav1.ListMeta

	Items []JobUpdatePolicy
}
