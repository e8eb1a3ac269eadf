// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package storage configures how the server stores objects in etcd. The layout is
// kube-apiserver's, so that both servers can share one etcd.
//
// Only pkg/apiserver/options may import this package.
package storage
