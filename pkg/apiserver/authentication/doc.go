// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package authentication configures how the server authenticates requests. In a cluster it
// delegates to the cluster: TokenReviews for bearer tokens, and the CAs that kube-apiserver
// publishes for client certificates and the front proxy. A standalone server accepts client
// certificates only.
//
// Only pkg/apiserver/options and pkg/apiserver/authorization may import this package.
package authentication
