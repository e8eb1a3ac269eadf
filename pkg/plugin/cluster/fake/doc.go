// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fake simulates a cluster with kube-apiserver and Batchgate for unit tests: the fake
// clientsets of client-go, with the behavior that the plugin relies on. kube-apiserver proxies
// batch/v1 to the server of APIService v1.batch, writes respect a freeze and a guard, and objects
// have UIDs, resource versions and preconditions.
//
// Tests can make any request fail, before or after its effect. Only tests may import the package.
package fake
