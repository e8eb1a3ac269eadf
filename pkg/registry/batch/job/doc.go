// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package job is the gate: update strategies for jobs and jobs/status that only let an update
// change the fields that JobUpdatePolicies grant. They wrap the strategies of
// k8s.io/kubernetes/pkg/registry/batch/job, which still validate the result. Errors for denied
// paths are validation errors, so upstream's rest.BeforeUpdate returns them as 422.
//
// The storage creates a strategy for each request, because the strategy holds the decision about
// that request. The store first applies a patch and runs mutating admission. Then these methods are called
// in this order:
//
//	PrepareForUpdate       evaluates the update; sets obj to the Job to store, or leaves it alone
//	                       (for jobs/status, after upstream has reset the spec)
//	ValidateUpdate         returns an error for each denied path, or validates the Job to store
//	ValidateDeclaratively  skips upstream's declarative rules for a denied update
//	Publish                reports the decision in metrics, audit annotations, warnings and Events
//
// If an update conflicts with another one, the store tries again. Each attempt starts with Reset and
// repeats all but Publish, and the last decision counts. docs/development/architecture.md follows an
// update from the listener to etcd.
//
// Gate.Review answers which fields of a Job a user may change, with the same policies and strategy.
//
// The storage package below, pkg/registry/policy/jobupdatereview and pkg/apiserver may import this package.
package job
