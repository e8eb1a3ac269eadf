// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pki implements a small certificate authority. It issues certificates for the standalone
// server, for clusters without cert-manager, and for the control planes of tests.
//
// It must not import other packages of this project.
package pki
