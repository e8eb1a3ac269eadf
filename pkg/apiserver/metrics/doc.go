// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics contains metrics of the server that the generic API server does not have.
// The metrics of the gate are in pkg/registry/batch/job.
//
// Only pkg/apiserver/options and pkg/apiserver/authentication may import this package.
package metrics
