// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package jobupdatepolicy provides the strategies and the table convertor of JobUpdatePolicies.
// Only its storage may import it.
package jobupdatepolicy
