// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// privileged makes the first container of a Job privileged.
func privileged(job *batchv1.Job) {
	job.Spec.Template.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
}

func TestPrivilegedContainersAllowed(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t, privileged))
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"spec":{"parallelism":2}}`).expect(t, http.StatusOK)
}

func TestPrivilegedContainersRejectedByFlag(t *testing.T) {
	t.Parallel()
	p := startClusterProcess(t, "--allow-privileged=false")
	resp := p.admin.do(t, request{method: http.MethodPost, path: jobsPath("default"), body: encode(t, newJob(t, privileged))})
	resp.expectCauses(t, map[string]string{
		"spec.template.spec.containers[0].securityContext.privileged": "Forbidden: disallowed by cluster policy",
	})
}
