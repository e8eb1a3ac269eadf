// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

// Commands that appear in messages and results.
const (
	// CertificatesCommand creates and renews the serving certificate.
	CertificatesCommand = "kubectl batchgate certificates"
	// TakeoverCommand points v1.batch to a Batchgate that shares the cluster's etcd.
	TakeoverCommand = "kubectl batchgate takeover"
	// RollbackCommand undoes a takeover, and an import that has not finished.
	RollbackCommand = "kubectl batchgate rollback"
	// RollbackMoveCommand undoes an import.
	RollbackMoveCommand = RollbackCommand + " --etcd-servers=<etcd of the cluster>"
	// ImportCommand moves Jobs to the dedicated etcd, or finishes an import.
	ImportCommand = "kubectl batchgate import --etcd-servers=<etcd of Batchgate>"
)
