// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.batchgate.policy.v1alpha1
// +k8s:deepcopy-gen=package
// +k8s:conversion-gen=github.com/batchgate/batchgate/pkg/apis/policy
// +k8s:defaulter-gen=TypeMeta
// +k8s:register-gen=package
// +groupName=policy.batchgate.io

// Package v1alpha1 is the version v1alpha1 of the API group policy.batchgate.io. Clients import
// it, so it may only import API types and apimachinery.
package v1alpha1
