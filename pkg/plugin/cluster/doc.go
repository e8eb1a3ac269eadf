// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster is the kubectl plugin's client of a cluster: of kube-apiserver, of the
// APIServices, and of Batchgate's replicas. All operations use it to change APIService v1.batch,
// which determines the server of batch/v1.
//
// The package imports no other package of pkg/plugin. The packages takeover, migration and certs
// and the kubectl plugin may import it. The plugin must not depend on k8s.io/apiserver or
// k8s.io/kubernetes.
package cluster
