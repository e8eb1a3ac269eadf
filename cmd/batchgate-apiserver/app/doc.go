// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package app implements the commands of batchgate-apiserver: the server, standalone and
// etcd-seed. Only cmd/batchgate-apiserver and tests may import it.
package app
