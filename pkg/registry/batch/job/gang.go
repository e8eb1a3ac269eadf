// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/utils/ptr"
)

// validateGang validates changed completions of a Job that is scheduled as a gang (upstream's
// feature gate WorkloadWithJob). kube-scheduler places no Pod until minCount of them exist, and
// minCount defaults to parallelism. If the new completions leave fewer than minCount Pods to run,
// now or at the end, these Pods stay pending. Upstream only lets completions change
// together with parallelism.
func validateGang(new *batch.Job) field.ErrorList {
	scheduling := new.Spec.Scheduling
	if scheduling == nil || scheduling.SchedulingPolicy == nil || scheduling.SchedulingPolicy.Gang == nil {
		return nil
	}
	minCount := ptr.Deref(scheduling.SchedulingPolicy.Gang.MinCount, ptr.Deref(new.Spec.Parallelism, 1))
	if minCount <= 1 || ptr.Equal(new.Spec.Completions, new.Spec.Parallelism) {
		return nil
	}
	return field.ErrorList{field.Forbidden(completionsPath,
		"must equal parallelism for a Job that is scheduled as a gang, because kube-scheduler schedules no Pod until minCount Pods exist; set parallelism to the same number in the same update")}
}
