// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package jobupdatepolicy is the controller of JobUpdatePolicies. When the server starts, the
// controller creates missing bootstrap policies and restores modified ones. Whenever a policy
// changes, it compiles all policies into the snapshot that the gate reads, and writes into
// their status whether they are active. Each replica runs its own controller, without leader
// election.
//
// Only pkg/apiserver may import this package.
package jobupdatepolicy
