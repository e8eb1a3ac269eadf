// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package takeover points APIService v1.batch to Batchgate and back to kube-apiserver. It checks
// before the change, changes one object in one request, checks again, and rolls back
// automatically if verification fails. It also reports the status of both servers.
//
// Each operation can be repeated: it continues from the state that it finds.
//
// The package migration and the kubectl plugin may import it.
package takeover
