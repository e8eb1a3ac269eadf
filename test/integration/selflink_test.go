// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/pkg/apiserver/options"
)

// singleJobResponses creates, updates and deletes a Job and returns the responses that contain one
// Job, by request.
func singleJobResponses(t *testing.T, u *user, namespace string) map[string]*response {
	t.Helper()
	path := jobPath(namespace, "pi")
	responses := map[string]*response{}
	responses["create"] = u.do(t, request{method: http.MethodPost, path: jobsPath(namespace), body: encode(t, newJob(t))}).expect(t, http.StatusCreated)
	responses["get"] = u.get(t, path)
	responses["get status"] = u.get(t, path+"/status")
	for _, update := range updateTypes {
		original := u.get(t, path).body
		for _, subresource := range []string{"", "/status"} {
			for _, dryRun := range []bool{true, false} {
				what := update.name + subresource
				if dryRun {
					what += " dry run"
				}
				body := update.bodyFor(t, `[{"op":"replace","path":"/metadata/labels/team","value":"green"}]`, original)
				if update.method == http.MethodPut {
					body = update.bodyFor(t, `[{"op":"remove","path":"/metadata/resourceVersion"}]`, original)
				}
				responses[what] = update.send(t, u, path+subresource, body, dryRun).expect(t, http.StatusOK)
			}
		}
	}
	responses["delete of a Job with finalizer"] = u.delete(t, path, "propagationPolicy=Background").expect(t, http.StatusOK)
	responses["get of a Job under deletion"] = u.get(t, path)
	return responses
}

func TestSelfLinkOnlyInSingleJobResponses(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	for what, resp := range singleJobResponses(t, shared.admin, namespace) {
		if got, want := resp.job(t).SelfLink, jobPath(namespace, "pi"); got != want {
			t.Errorf("%s: selfLink is %q, want %q", what, got, want)
		}
	}
	for what, resp := range map[string]*response{
		"list":                   shared.admin.get(t, jobsPath(namespace)),
		"list of all namespaces": shared.admin.get(t, "/apis/batch/v1/jobs"),
		"table":                  shared.admin.do(t, request{method: http.MethodGet, path: jobsPath(namespace), accept: tableMediaType}).expect(t, http.StatusOK),
		"watch": shared.admin.do(t, request{method: http.MethodGet, path: jobsPath(namespace), query: map[string][]string{
			"watch": {"true"}, "timeoutSeconds": {"1"},
		}}).expect(t, http.StatusOK),
	} {
		if !strings.Contains(string(resp.body), `"pi"`) {
			t.Errorf("%s: response does not contain the Job: %s", what, resp.body)
		}
		if strings.Contains(string(resp.body), "selfLink") {
			t.Errorf("%s: response has a selfLink: %s", what, resp.body)
		}
	}
	collection := shared.admin.delete(t, jobsPath(namespace), "propagationPolicy=Background").expect(t, http.StatusOK)
	if strings.Contains(string(collection.body), "selfLink") {
		t.Errorf("response to deletecollection has a selfLink: %s", collection.body)
	}
	if stored := shared.read(t, jobKey(namespace, "pi")); bytes.Contains(stored.value, []byte("/apis/batch")) {
		t.Errorf("selfLink was stored: %q", stored.value)
	}
}

func TestSelfLinkFromClientNotStored(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	job := newJob(t)
	job.SelfLink = "/elsewhere"
	if got, want := shared.admin.create(t, namespace, job).SelfLink, jobPath(namespace, "pi"); got != want {
		t.Errorf("created Job has selfLink %q, want %q", got, want)
	}
	if value := shared.read(t, jobKey(namespace, "pi")).value; bytes.Contains(value, []byte("elsewhere")) {
		t.Errorf("selfLink was stored: %q", value)
	}
}

func TestSelfLinkVisibleToJSONPatch(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	path := jobPath(namespace, "pi")
	before := shared.read(t, jobKey(namespace, "pi"))
	for name, row := range map[string]struct {
		patch    string
		code     int
		warnings int
	}{
		"test of the same value":      {`[{"op":"test","path":"/metadata/selfLink","value":"` + path + `"}]`, http.StatusOK, 0},
		"test of another value":       {`[{"op":"test","path":"/metadata/selfLink","value":"/elsewhere"}]`, http.StatusUnprocessableEntity, 0},
		"replace with the same value": {`[{"op":"replace","path":"/metadata/selfLink","value":"` + path + `"}]`, http.StatusOK, 0},
		"replace with another value":  {`[{"op":"replace","path":"/metadata/selfLink","value":"/elsewhere"}]`, http.StatusOK, 1},
		"remove":                      {`[{"op":"remove","path":"/metadata/selfLink"}]`, http.StatusOK, 0},
	} {
		for _, subresource := range []string{"", "/status"} {
			resp := shared.admin.patch(t, path+subresource, jsonPatch, row.patch)
			if resp.code != row.code || len(resp.warnings(t)) != row.warnings {
				t.Errorf("%s%s: got status %d with warnings %q: %s", name, subresource, resp.code, resp.warnings(t), resp.body)
			}
			if resp.code == http.StatusOK && resp.job(t).SelfLink != path {
				t.Errorf("%s%s: selfLink is %q", name, subresource, resp.job(t).SelfLink)
			}
		}
	}
	shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
}

func TestSelfLinkDisabledByFlag(t *testing.T) {
	t.Parallel()
	s := newServer(t, setup{options: func(o *options.Options) { o.ServeSelfLink = false }})
	for what, resp := range singleJobResponses(t, s.admin, "default") {
		if link := resp.job(t).SelfLink; link != "" {
			t.Errorf("%s: selfLink is %q, want none", what, link)
		}
	}
}
