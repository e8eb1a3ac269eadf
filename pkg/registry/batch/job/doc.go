// Package job is the gate: the update strategies of jobs and jobs/status that let only the
// fields change that pkg/fieldpolicy allows. Everything else about a Job, validation of the
// new object included, is left to the strategies of k8s.io/kubernetes/pkg/registry/batch/job,
// which this package wraps and whose path it mirrors.
//
// It is imported by its storage alone.
package job
