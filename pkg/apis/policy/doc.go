// +k8s:deepcopy-gen=package

// Package policy is the internal version of the API group policy.batchgate.io: who may
// change which further fields of a Job. It may import API types and apimachinery only.
package policy
