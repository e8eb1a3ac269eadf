// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package jobupdatereview is the REST storage of selfjobupdatereviews and jobupdatereviews. They can
// only be created, and nothing is stored, as for upstream's SubjectAccessReviews.
package jobupdatereview
