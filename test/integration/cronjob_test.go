// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/watch"
)

const cronJob = `{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"nightly","annotations":{"note":"first"},"finalizers":["example.com/hold"]},
	"spec":{"schedule":"0 3 * * *","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"perl"}]}}}}}}`

func cronJobsPath(namespace string) string {
	return "/apis/batch/v1/namespaces/" + namespace + "/cronjobs"
}

// The gate is only for Jobs. A CronJob is a template for Jobs that do not exist yet.
func TestCronJobUpdatesNotGated(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	path := cronJobsPath(namespace) + "/nightly"
	key := cronJobKey(namespace, "nightly")
	shared.admin.do(t, request{method: http.MethodPost, path: cronJobsPath(namespace), body: []byte(cronJob)}).expect(t, http.StatusCreated)
	for name, row := range map[string]struct {
		subresource, patch string
		changed            func(*batchv1.CronJob) bool
	}{
		"annotation": {"", `{"metadata":{"annotations":{"note":"second"}}}`, func(c *batchv1.CronJob) bool { return c.Annotations["note"] == "second" }},
		"finalizer":  {"", `{"metadata":{"finalizers":null}}`, func(c *batchv1.CronJob) bool { return len(c.Finalizers) == 0 }},
		"schedule":   {"", `{"spec":{"schedule":"0 4 * * *"}}`, func(c *batchv1.CronJob) bool { return c.Spec.Schedule == "0 4 * * *" }},
		"time zone":  {"", `{"spec":{"timeZone":"Europe/Berlin"}}`, func(c *batchv1.CronJob) bool { return *c.Spec.TimeZone == "Europe/Berlin" }},
		"suspend":    {"", `{"spec":{"suspend":true}}`, func(c *batchv1.CronJob) bool { return *c.Spec.Suspend }},
		"template": {
			"", `{"spec":{"jobTemplate":{"spec":{"backoffLimit":1,"template":{"spec":{"containers":[{"name":"main","image":"python"}]}}}}}}`,
			func(c *batchv1.CronJob) bool {
				return *c.Spec.JobTemplate.Spec.BackoffLimit == 1 && c.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image == "python"
			},
		},
		"status": {
			"/status", `{"status":{"lastScheduleTime":"2026-01-02T03:04:05Z"}}`,
			func(c *batchv1.CronJob) bool { return c.Status.LastScheduleTime.Equal(&startTime) },
		},
	} {
		resp := shared.admin.patch(t, path+row.subresource, mergePatch, row.patch).expect(t, http.StatusOK)
		if warnings := resp.warnings(t); len(warnings) > 0 {
			t.Errorf("%s: unexpected warnings: %q", name, warnings)
		}
		if stored, ok := shared.read(t, key).object(t).(*batchv1.CronJob); !ok || !row.changed(stored) {
			t.Errorf("%s was not changed: %v", name, stored)
		}
		if link := resp.cronJob(t).SelfLink; link != "" {
			t.Errorf("CronJob has selfLink %q", link)
		}
	}
	if warnings := shared.admin.patch(t, path, mergePatch, `{"status":{"active":[{"name":"x"}]}}`).expect(t, http.StatusOK).warnings(t); len(warnings) > 0 {
		t.Errorf("unexpected warnings for a status sent to the main resource: %q", warnings)
	}
	if active := shared.read(t, key).object(t).(*batchv1.CronJob).Status.Active; len(active) > 0 {
		t.Errorf("status was changed through the main resource: %v", active)
	}
	shared.admin.delete(t, path, "propagationPolicy=Background").expect(t, http.StatusOK)
	if shared.read(t, key).value != nil {
		t.Error("CronJob was not deleted")
	}
}

func TestCronJobWatchSendsEveryChange(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	path := cronJobsPath(namespace) + "/nightly"
	w := shared.admin.watch(t, cronJobsPath(namespace), url.Values{
		"resourceVersion": {shared.admin.list(t, cronJobsPath(namespace), nil).ResourceVersion},
	})
	created := shared.admin.do(t, request{method: http.MethodPost, path: cronJobsPath(namespace), body: []byte(cronJob)}).expect(t, http.StatusCreated).cronJob(t)
	annotated := shared.admin.patch(t, path, mergePatch, `{"metadata":{"annotations":{"note":"second"},"finalizers":null}}`).expect(t, http.StatusOK).cronJob(t)
	status := shared.admin.patch(t, path+"/status", mergePatch, `{"status":{"lastScheduleTime":"2026-01-02T03:04:05Z"}}`).expect(t, http.StatusOK).cronJob(t)
	shared.admin.delete(t, path, "propagationPolicy=Background").expect(t, http.StatusOK)
	for _, want := range []struct {
		event   watch.EventType
		cronJob *batchv1.CronJob
	}{
		{watch.Added, created}, {watch.Modified, annotated}, {watch.Modified, status}, {watch.Deleted, status},
	} {
		got := &batchv1.CronJob{}
		event := w.nextInto(got)
		if event == watch.Deleted { // the deletion has its own revision
			got.ResourceVersion = want.cronJob.ResourceVersion
		}
		if diff := cmp.Diff(want.cronJob, got); event != want.event || diff != "" {
			t.Errorf("got event %s, want %s (-want +got):\n%s", event, want.event, diff)
		}
	}
}

func TestCronJobDeleteCollectionHonorsSelector(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	for name, team := range map[string]string{"one": "blue", "two": "green", "three": "blue"} {
		body := strings.NewReplacer(`"name":"nightly"`, `"name":"`+name+`","labels":{"team":"`+team+`"}`, `,"finalizers":["example.com/hold"]`, "").Replace(cronJob)
		shared.admin.do(t, request{method: http.MethodPost, path: cronJobsPath(namespace), body: []byte(body)}).expect(t, http.StatusCreated)
	}
	existing := func() map[string]bool {
		found := map[string]bool{}
		for _, name := range []string{"one", "two", "three"} {
			found[name] = shared.read(t, cronJobKey(namespace, name)).value != nil
		}
		return found
	}
	shared.admin.delete(t, cronJobsPath(namespace), "labelSelector=team%3Dblue&propagationPolicy=Background&dryRun=All").expect(t, http.StatusOK)
	if diff := cmp.Diff(map[string]bool{"one": true, "two": true, "three": true}, existing()); diff != "" {
		t.Errorf("CronJobs after a dry run (-want +got):\n%s", diff)
	}
	shared.admin.delete(t, cronJobsPath(namespace), "labelSelector=team%3Dblue&propagationPolicy=Background").expect(t, http.StatusOK)
	if diff := cmp.Diff(map[string]bool{"one": false, "two": true, "three": false}, existing()); diff != "" {
		t.Errorf("CronJobs after the deletion (-want +got):\n%s", diff)
	}
}

// cronJob decodes the body as a CronJob.
func (resp *response) cronJob(t *testing.T) *batchv1.CronJob {
	t.Helper()
	c := &batchv1.CronJob{}
	resp.decode(t, c)
	return c
}
