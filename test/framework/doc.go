// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package framework runs a Kubernetes control plane on this machine: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, kwok as the kubelet of fake nodes, and Batchgate.
// Nothing is mocked: hack/build-tools.sh and hack/build.sh build the programs, and Batchgate
// runs with the RBAC of artifacts/base.
//
// A Cluster listens on free ports of the loopback interface and keeps its files in one
// directory. Its processes end with the process that started them, even if that is killed.
//
// A test package calls Main from TestMain, starts further control planes with
// StartTestCluster, and uses Jobs to create, read and finish Jobs. Commands below test/ may use
// the framework without these helpers.
package framework
