// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"
)

// An apply to the Job does not own status fields, and an apply to jobs/status does not own spec
// fields, because the strategies reset them there.
func TestApplyOwnershipSplitBySubresource(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.apply(t, namespace, newJob(t, func(job *batchv1.Job) { job.Status.Active = 2 }))
	body := string(encode(t, newJob(t, func(job *batchv1.Job) { job.Status.Active = 1 })))
	shared.admin.patch(t, statusPath(namespace, "pi"), applyPatch, body).expect(t, http.StatusOK)
	owned := map[string][]bool{}
	for _, entry := range shared.read(t, jobKey(namespace, "pi")).job(t).ManagedFields {
		fields := entry.FieldsV1.GetRawString()
		owned[entry.Subresource] = []bool{strings.Contains(fields, `"f:spec"`), strings.Contains(fields, `"f:status"`)}
	}
	want := map[string][]bool{"": {true, false}, "status": {false, true}}
	if diff := cmp.Diff(want, owned); diff != "" {
		t.Errorf("ownership of spec and status by subresource (-want +got):\n%s", diff)
	}
}

func TestForcedApplyOwnsAllowedFieldsOnly(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spec   string   // applied by another manager
		denied []string // denied paths; nil if the change is allowed
	}{
		"parallelism taken over":          {`{"parallelism":2}`, nil},
		"suspend denied":                  {`{"suspend":true}`, []string{`spec.suspend`}},
		"suspend with parallelism denied": {`{"parallelism":2,"suspend":true}`, []string{`spec.suspend`}},
		"image denied":                    {`{"template":{"spec":{"containers":[{"name":"main","image":"python"}]}}}`, []string{`spec.template.spec.containers[name="main"].image`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			path, key := jobPath(namespace, "pi"), jobKey(namespace, "pi")
			shared.admin.apply(t, namespace, newJob(t, func(job *batchv1.Job) { job.Spec.Suspend = ptr.To(false) }))
			before := shared.read(t, key)
			send := func(query string) *response {
				body := `{"apiVersion":"batch/v1","kind":"Job","spec":` + row.spec + `}`
				return shared.admin.do(t, request{method: http.MethodPatch, path: path + "?fieldManager=other" + query, contentType: applyPatch, body: []byte(body)})
			}
			send("").expect(t, http.StatusConflict)
			for _, dryRun := range []string{"&dryRun=All", ""} {
				shared.read(t, key).expectUnchanged(t, before)
				resp := send("&force=true" + dryRun)
				if row.denied == nil {
					resp.expect(t, http.StatusOK)
				} else {
					resp.result(t).expectDenied(t, row.denied)
				}
			}
			after := shared.read(t, key)
			if row.denied != nil {
				after.expectUnchanged(t, before)
				return
			}
			want, owners := before.job(t), []string{}
			want.Spec.Parallelism = ptr.To[int32](2)
			if diff := cmp.Diff(want, after.job(t), ignoreBookkeeping); diff != "" {
				t.Errorf("stored Job (-want +got):\n%s", diff)
			}
			for _, entry := range after.job(t).ManagedFields {
				if strings.Contains(entry.FieldsV1.GetRawString(), `"f:parallelism"`) {
					owners = append(owners, entry.Manager)
				}
			}
			if diff := cmp.Diff([]string{"other"}, owners); diff != "" {
				t.Errorf("owners of spec.parallelism (-want +got):\n%s", diff)
			}
		})
	}
}
