// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package certs creates and renews the certificates of Batchgate in a cluster without
// cert-manager and keeps them in Secrets. Only the kubectl plugin may import it.
//
// The order of the steps prevents an interruption when the CA changes. Every client trusts the new
// CA before the first replica serves a certificate that the new CA signed, and trusts the old CA
// until no replica serves a certificate that the old CA signed:
//
//  1. the CA and its predecessors, in a Secret
//  2. the CA bundles of the APIServices: their current certificates and these CAs
//  3. the serving certificate, signed by the newest CA
//  4. in a later run, if all replicas serve a certificate of the newest CA: the old CAs are
//     removed from the APIServices and the Secrets
//
// Each run continues from the state that it finds, even if the last run was interrupted.
package certs
