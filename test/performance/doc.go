// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command performance compares Batchgate with its alternatives: kube-apiserver without a policy, with
// a ValidatingAdmissionPolicy, and with a validating webhook. They share one machine: control planes
// run side by side, each with an etcd, and take turns within each round. Compare ratios only: the
// absolute figures of two runs are not comparable.
//
// Controllers, scheduler and fake nodes are stopped, except in the part "completion".
package main
