// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package suggest reads Batchgate's audit log, and suggests the JobUpdatePolicies that grant what was
// denied, or granted with a warning. Only the kubectl plugin may import it.
package suggest
