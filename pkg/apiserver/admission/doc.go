// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package admission configures the admission plugins of a server that belongs to a cluster. It
// runs the plugins that kube-apiserver runs by default for Jobs and CronJobs, with the cluster's
// webhooks, policies and quotas.
//
// Only pkg/apiserver/options may import this package.
package admission
