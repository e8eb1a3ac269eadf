// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package authorization configures how the server authorizes requests. In a cluster it
// delegates to the cluster by SubjectAccessReviews, except for requests that kube-apiserver has
// authorized before proxying them.
//
// Only pkg/apiserver/options may import this package.
package authorization
