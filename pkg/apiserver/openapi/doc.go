// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package openapi configures the OpenAPI documents that the server publishes.
//
// Only pkg/apiserver/options may import this package.
package openapi
