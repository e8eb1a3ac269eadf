// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package filters contains HTTP filters that Batchgate adds to the handler chain of the generic
// API server.
//
// Only pkg/apiserver/options and pkg/apiserver/authentication may import this package.
package filters
