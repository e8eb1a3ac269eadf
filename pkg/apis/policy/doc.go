// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// +k8s:deepcopy-gen=package

// Package policy is the internal version of the API group policy.batchgate.io. It also defines
// the names that server, plugin and manifests share. It may only import API types and
// apimachinery.
package policy
