// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package connection observes the connection to kube-apiserver. A replica that is cut off keeps
// serving with the admission policies, webhooks, quotas and namespaces in its caches. Metrics show
// since when, and which version kube-apiserver has.
//
// Only pkg/apiserver/options may import this package.
package connection
