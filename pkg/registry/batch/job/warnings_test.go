// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"
)

func TestStrategy_WarnsAboutIgnoredFields(t *testing.T) {
	const (
		creation = "metadata.creationTimestamp: ignored: it is set by the server"
		selfLink = "metadata.selfLink: ignored: it is set by the server"
		status   = "status: ignored: update it through the status subresource"
	)
	later := metav1.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		send                jobChange
		want, throughStatus []string
	}{
		"no ignored field": {send: func(j *batch.Job) { j.Labels["a"] = "b" }},
		"creationTimestamp": {
			send: func(j *batch.Job) { j.CreationTimestamp = later },
			want: []string{creation}, throughStatus: []string{creation},
		},
		"creationTimestamp in another time zone": {
			send: func(j *batch.Job) {
				j.CreationTimestamp.Time = j.CreationTimestamp.In(time.FixedZone("", 3600))
			},
		},
		"no creationTimestamp": {send: func(j *batch.Job) { j.CreationTimestamp = metav1.Time{} }},
		"selfLink": {
			send: func(j *batch.Job) { j.SelfLink = "/apis/batch/v1/namespaces/studio/jobs/other" },
			want: []string{selfLink}, throughStatus: []string{selfLink},
		},
		"stored selfLink": {send: func(j *batch.Job) { j.SelfLink = "/apis/batch/v1/namespaces/studio/jobs/render" }},
		"status": {
			send: func(j *batch.Job) { j.Status.Active = 2 },
			want: []string{status},
		},
		"no status": {send: func(j *batch.Job) { j.Status = batch.JobStatus{} }},
		"all three": {
			send: func(j *batch.Job) {
				j.CreationTimestamp, j.SelfLink = later, "/x"
				j.Status.Active = 2
			},
			want: []string{creation, selfLink, status}, throughStatus: []string{creation, selfLink},
		},
		"selfLink in a denied update": {
			send: func(j *batch.Job) {
				j.SelfLink = "/x"
				j.Annotations = map[string]string{"a": "b"}
			},
			want: []string{selfLink}, throughStatus: []string{selfLink},
		},
	} {
		t.Run(name, func(t *testing.T) {
			old := storedJob(t)
			old.Status.Active = 1
			for endpoint, check := range map[string]struct {
				strategy rest.RESTUpdateStrategy
				want     []string
			}{
				"jobs":        {NewStrategy(bootstrapGate), tc.want},
				"jobs/status": {NewStatusStrategy(bootstrapGate), tc.throughStatus},
			} {
				got := update(t, check.strategy, "alice", old, tc.send)
				if diff := cmp.Diff(check.want, got.warnings); diff != "" {
					t.Errorf("%s: warnings (-want +got):\n%s", endpoint, diff)
				}
				if got.stored != nil && (!got.stored.CreationTimestamp.Equal(&old.CreationTimestamp) || got.stored.SelfLink != "") {
					t.Errorf("%s: stored with creationTimestamp %s and selfLink %q", endpoint, got.stored.CreationTimestamp, got.stored.SelfLink)
				}
			}
		})
	}
}
