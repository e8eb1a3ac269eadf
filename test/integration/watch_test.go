// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher decodes the events of a watch.
type watcher struct {
	t       *testing.T
	decoder *json.Decoder
}

// watch starts a watch that ends with the test.
func (u *user) watch(t *testing.T, path string, query url.Values) *watcher {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	t.Cleanup(cancel)
	query.Set("watch", "true")
	req, err := request{method: http.MethodGet, path: path, query: query}.build(ctx, u.server.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := u.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("watch got status %s", resp.Status)
	}
	return &watcher{t: t, decoder: json.NewDecoder(bufio.NewReader(resp.Body))}
}

// next returns the type and the Job of the next event.
func (w *watcher) next() (watch.EventType, *batchv1.Job) {
	w.t.Helper()
	job := &batchv1.Job{}
	return w.nextInto(job), job
}

// nextInto returns the type of the next event and decodes its object into object.
func (w *watcher) nextInto(object any) watch.EventType {
	w.t.Helper()
	var event metav1.WatchEvent
	if err := w.decoder.Decode(&event); err != nil {
		w.t.Fatalf("reading watch: %v", err)
	}
	if err := json.Unmarshal(event.Object.Raw, object); err != nil {
		w.t.Fatalf("decoding event %s: %v", event.Object.Raw, err)
	}
	return watch.EventType(event.Type)
}

func TestWatchSendsOnlyStoredChanges(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	w := shared.admin.watch(t, jobsPath(namespace), url.Values{
		"resourceVersion": {shared.admin.list(t, jobsPath(namespace), nil).ResourceVersion},
	})
	created := shared.admin.create(t, namespace, newJob(t, withoutFinalizers))
	path := jobPath(namespace, "pi")
	shared.admin.patch(t, path, mergePatch, `{"spec":{"suspend":true}}`).expect(t, http.StatusUnprocessableEntity)
	shared.admin.patch(t, path+"?dryRun=All", mergePatch, `{"spec":{"parallelism":7}}`).expect(t, http.StatusOK)
	shared.admin.patch(t, path, mergePatch, `{"metadata":{"selfLink":"/x"}}`).expect(t, http.StatusOK)
	changed := shared.admin.patch(t, path, mergePatch, `{"spec":{"parallelism":2}}`).expect(t, http.StatusOK).job(t)
	status := shared.admin.patch(t, path+"/status", mergePatch, `{"status":{"active":2}}`).expect(t, http.StatusOK).job(t)
	shared.admin.delete(t, path, "propagationPolicy=Background").expect(t, http.StatusOK)
	for _, want := range []struct {
		event watch.EventType
		job   *batchv1.Job
	}{
		{watch.Added, created}, {watch.Modified, changed}, {watch.Modified, status}, {watch.Deleted, status},
	} {
		event, job := w.next()
		if job.SelfLink != "" {
			t.Errorf("event %s has selfLink %s", event, job.SelfLink)
		}
		want.job.SelfLink = ""
		if event == watch.Deleted { // the deletion has its own revision
			job.ResourceVersion = want.job.ResourceVersion
		}
		if diff := cmp.Diff(want.job, job); event != want.event || diff != "" {
			t.Errorf("got event %s, want %s (-want +got):\n%s", event, want.event, diff)
		}
	}
}

// client-go's informers start with such a watch.
func TestWatchListSendsInitialEventsBookmark(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	w := shared.admin.watch(t, jobsPath(namespace), url.Values{
		"sendInitialEvents": {"true"}, "allowWatchBookmarks": {"true"}, "resourceVersionMatch": {"NotOlderThan"},
	})
	if event, job := w.next(); event != watch.Added || job.Name != "pi" || job.SelfLink != "" {
		t.Errorf("first event is %s: %v", event, job.ObjectMeta)
	}
	event, job := w.next()
	if event != watch.Bookmark || job.Annotations[metav1.InitialEventsAnnotationKey] != "true" || job.ResourceVersion == "" {
		t.Errorf("second event is %s: %v", event, job.ObjectMeta)
	}
}
