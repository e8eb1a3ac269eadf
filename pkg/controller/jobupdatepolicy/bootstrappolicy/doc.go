// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bootstrappolicy defines the JobUpdatePolicies that every server creates. Only
// pkg/controller/jobupdatepolicy and tests may import it.
package bootstrappolicy
