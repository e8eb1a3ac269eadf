// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policytest evaluates updates of Jobs against JobUpdatePolicies in files, with the engine of the
// server and without one. Only the kubectl plugin may import it.
package policytest
