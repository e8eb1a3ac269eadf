// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
)

func (u *user) list(t *testing.T, path string, query url.Values) *batchv1.JobList {
	t.Helper()
	list := &batchv1.JobList{}
	u.do(t, request{method: http.MethodGet, path: path, query: query}).expect(t, http.StatusOK).decode(t, list)
	return list
}

func names(list *batchv1.JobList) []string {
	var names []string
	for _, job := range list.Items {
		names = append(names, job.Name)
	}
	return names
}

func TestListPagination(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("job-%d", i)
		shared.admin.create(t, namespace, newJob(t, named(name)))
		want = append(want, name)
	}
	var got []string
	query := url.Values{"limit": {"3"}}
	for chunk := 0; ; chunk++ {
		list := shared.admin.list(t, jobsPath(namespace), query)
		got = append(got, names(list)...)
		if list.Continue == "" {
			if chunk != 2 {
				t.Errorf("last chunk is number %d, want 2", chunk)
			}
			break
		}
		if len(list.Items) != 3 {
			t.Errorf("chunk %d has %d Jobs, want 3", chunk, len(list.Items))
		}
		query.Set("continue", list.Continue)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listed Jobs (-want +got):\n%s", diff)
	}
}

func TestListSelectors(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	for name, succeeded := range map[string]int{"blue": 0, "green": 2} {
		shared.admin.create(t, namespace, newJob(t, named(name), func(job *batchv1.Job) { job.Labels["team"] = name }))
		shared.admin.patch(t, statusPath(namespace, name), mergePatch, fmt.Sprintf(`{"status":{"succeeded":%d}}`, succeeded)).expect(t, http.StatusOK)
	}
	for query, want := range map[string][]string{
		"":                        {"blue", "green"},
		"labelSelector=team=blue": {"blue"},
		"labelSelector=team in (blue,green),tier":                                {"blue", "green"},
		"labelSelector=!team":                                                    nil,
		"fieldSelector=metadata.name=green":                                      {"green"},
		"fieldSelector=status.successful=2":                                      {"green"},
		"fieldSelector=status.successful!=2":                                     {"blue"},
		"fieldSelector=metadata.namespace=" + namespace + ",status.successful=0": {"blue"},
		"labelSelector=team=blue&fieldSelector=metadata.name=green":              nil,
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, names(shared.admin.list(t, jobsPath(namespace), values))); diff != "" {
			t.Errorf("%s: listed Jobs (-want +got):\n%s", query, diff)
		}
	}
	shared.admin.do(t, request{method: http.MethodGet, path: jobsPath(namespace), query: url.Values{"fieldSelector": {"spec.parallelism=1"}}}).
		expect(t, http.StatusBadRequest)
}

func TestListAllNamespaces(t *testing.T) {
	t.Parallel()
	first, second := newNamespace(), newNamespace()
	shared.admin.create(t, first, newJob(t))
	shared.admin.create(t, second, newJob(t))
	found := map[string]bool{}
	for _, job := range shared.admin.list(t, "/apis/batch/v1/jobs", nil).Items {
		found[job.Namespace] = true
	}
	if !found[first] || !found[second] {
		t.Errorf("list does not contain both namespaces: %v", found)
	}
}
