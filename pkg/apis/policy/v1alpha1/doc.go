// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.batchgate.policy.v1alpha1
// +k8s:deepcopy-gen=package
// +k8s:conversion-gen=github.com/batchgate/batchgate/pkg/apis/policy
// +k8s:defaulter-gen=TypeMeta
// +k8s:register-gen=package
// +groupName=policy.batchgate.io

// Package v1alpha1 is the version v1alpha1 of the API group policy.batchgate.io, as clients
// see it. It imports API types and apimachinery only, so that a client that imports it does
// not import the server.
package v1alpha1
