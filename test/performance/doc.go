// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command performance compares Batchgate with its alternatives: kube-apiserver without a policy, with
// a ValidatingAdmissionPolicy, and with a validating webhook. They share one machine and one etcd
// and take turns within each round. Compare ratios only: the absolute figures of two runs are not
// comparable.
//
// Nothing else uses the control plane during a measurement. Controllers, scheduler and fake nodes
// are stopped, and Batchgate is paused when it is not measured.
package main
