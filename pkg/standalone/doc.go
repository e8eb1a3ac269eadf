// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package standalone prepares the directory of a server without a cluster. The directory contains
// a CA, the certificates that it signs, and a kubeconfig.
//
// Only cmd/batchgate-apiserver may import this package.
package standalone
