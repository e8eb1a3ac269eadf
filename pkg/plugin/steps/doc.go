// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package steps runs lists of named checks and actions and reports the result of each.
//
// It imports nothing from this module. The other packages of pkg/plugin and the kubectl plugin
// may import it.
package steps
