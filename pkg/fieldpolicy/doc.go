// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fieldpolicy evaluates updates of Jobs against JobUpdatePolicies.
//
// [Compile] turns policies into a [Snapshot], and [Snapshot.Evaluate] turns an update into a
// [Decision]. Evaluation is pure: it depends on its arguments only, performs no I/O and
// changes none of its arguments. That makes it easy to test and fuzz.
//
// The package may import API types, conversions of upstream's batch types, and
// pkg/fieldpolicy/fieldpath. It must not depend on servers, clients or other packages of this
// module.
package fieldpolicy
