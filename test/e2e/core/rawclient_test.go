// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// rawClient sends HTTP requests with a service account's token and uses no Kubernetes client code.
type rawClient struct {
	session.Session
	http *http.Client
}

func newRawClient(s session.Session) rawClient {
	s.T.Helper()
	s.Run("create", "serviceaccount", "raw")
	s.Run("create", "rolebinding", "raw", "--clusterrole=edit", "--serviceaccount="+s.Namespace+":raw")
	s.Run("create", "role", "raw", "--resource=jobs/status", "--verb=get,patch,update")
	s.Run("create", "rolebinding", "raw-status", "--role=raw", "--serviceaccount="+s.Namespace+":raw")
	token, err := cluster.Client.CoreV1().ServiceAccounts(s.Namespace).CreateToken(s.T.Context(), "raw", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		s.T.Fatal(err)
	}
	config := rest.AnonymousClientConfig(cluster.Config)
	config.BearerToken = token.Status.Token
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		s.T.Fatal(err)
	}
	return rawClient{s, client}
}

// send sends a request to kube-apiserver for a Job of the namespace. The response body is already
// closed.
func (c rawClient) send(method, resource, contentType, body string) (*http.Response, []byte) {
	c.T.Helper()
	path := cluster.Config.Host + "/apis/batch/v1/namespaces/" + url.PathEscape(c.Namespace) + "/jobs/" + resource
	request, err := http.NewRequestWithContext(c.T.Context(), method, path, strings.NewReader(body))
	if err != nil {
		c.T.Fatal(err)
	}
	request.Header.Set("Accept", "application/json")
	if body != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		c.T.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		c.T.Fatal(err)
	}
	return response, content
}

// utcTime matches a JSON string with a time in the form of Kubernetes.
var utcTime = regexp.MustCompile(`("[0-9-]{10}T[0-9:]{8})Z"`)

// asPython changes the times in a Job to the form of the Python client.
func asPython(job string) string { return utcTime.ReplaceAllString(job, `$1+00:00"`) }

// The official clients of other languages are not available here, so the test sends their requests:
// Python sends a dict as a strategic merge patch and a list as a JSON patch, and writes times in
// a different form; Java adds a charset to media types.
func TestOfficialClientRequestsGated(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	c := newRawClient(s)
	label := func(job, key string) string {
		return strings.Replace(job, `"labels":{`, `"labels":{"`+key+`":"yes",`, 1)
	}
	for _, tc := range []struct {
		name, method, resource, contentType, body string
		put                                       func(job string) string // returns the body for the stored Job
		denied                                    string                  // the denied path, if any
	}{
		{name: "Python patches with a dict", method: "PATCH", resource: "pi", contentType: "application/strategic-merge-patch+json", body: `{"spec": {"parallelism": 2}}`},
		{name: "Python patches with a list", method: "PATCH", resource: "pi", contentType: "application/json-patch+json", body: `[{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]`},
		{name: "Python suspends", method: "PATCH", resource: "pi", contentType: "application/strategic-merge-patch+json", body: `{"spec": {"suspend": true}}`, denied: "spec.suspend"},
		{name: "Python replaces a Job", method: "PUT", resource: "pi", contentType: "application/json", put: func(job string) string { return label(asPython(job), "python") }},
		{name: "Python replaces an image", method: "PUT", resource: "pi", contentType: "application/json", denied: `spec.template.spec.containers[name="main"].image`,
			put: func(job string) string {
				return strings.Replace(asPython(job), "example.com/work:1", "example.com/work:2", 1)
			}},
		{name: "Python replaces status and annotation", method: "PUT", resource: "pi/status", contentType: "application/json", denied: `metadata.annotations["a"]`,
			put: func(job string) string {
				return strings.Replace(asPython(job), `"metadata":{`, `"metadata":{"annotations":{"a":"b"},`, 1)
			}},
		{name: "Java merges completions", method: "PATCH", resource: "pi", contentType: "application/merge-patch+json; charset=utf-8", body: `{"spec": {"completions": 3}}`},
		{name: "Java merges a deadline", method: "PATCH", resource: "pi", contentType: "application/merge-patch+json; charset=utf-8", body: `{"spec": {"activeDeadlineSeconds": 3}}`, denied: "spec.activeDeadlineSeconds"},
		{name: "Java replaces a Job", method: "PUT", resource: "pi", contentType: "application/json; charset=utf-8", put: func(job string) string { return label(job, "java") }},
		{name: "Java applies a label", method: "PATCH", resource: "pi?fieldManager=java&force=true", contentType: "application/apply-patch+yaml; charset=utf-8",
			body: `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "pi", "labels": {"applied": "yes"}}}`},
		{name: "Java applies an annotation", method: "PATCH", resource: "pi?fieldManager=java&force=true", contentType: "application/apply-patch+yaml; charset=utf-8",
			body: `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "pi", "annotations": {"a": "b"}}}`, denied: `metadata.annotations["a"]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := rawClient{s.WithT(t), c.http}
			var response *http.Response
			var content []byte
			c.Eventually("send the request without a conflict", func() error {
				body := tc.body
				if tc.put != nil {
					_, stored := c.send("GET", "pi", "", "")
					body = tc.put(string(stored))
					if body == string(stored) {
						t.Fatalf("request changes nothing: %s", stored)
					}
				}
				response, content = c.send(tc.method, tc.resource, tc.contentType, body)
				if response.StatusCode == http.StatusConflict {
					return errors.New("the Job controller updated the Job")
				}
				return nil
			})
			if warnings := response.Header.Values("Warning"); len(warnings) > 0 {
				t.Errorf("got warnings %q", warnings)
			}
			if got := response.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("content type is %s", got)
			}
			if tc.denied == "" {
				checkJob(t, response.StatusCode, content)
			} else {
				checkDenied(t, response.StatusCode, content, tc.denied)
			}
		})
	}
	if response, content := c.send("DELETE", "pi", "application/json", `{"propagationPolicy": "Foreground"}`); response.StatusCode != http.StatusOK {
		t.Errorf("delete: got status %d: %s", response.StatusCode, content)
	}
	s.Eventually("have the Job and its Pods removed", func() error { return s.JobAndPodsGone("pi") })
}

func checkJob(t *testing.T, code int, content []byte) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	var job batchv1.Job
	if err := decoder.Decode(&job); err != nil || code != http.StatusOK || job.Kind != "Job" || job.Name != "pi" {
		t.Errorf("got status %d, decoding error %v: %s", code, err, content)
	}
}

func checkDenied(t *testing.T, code int, content []byte, path string) {
	t.Helper()
	var status metav1.Status
	if err := json.Unmarshal(content, &status); err != nil {
		t.Fatalf("%v: %s", err, content)
	}
	if code != http.StatusUnprocessableEntity || status.Kind != "Status" || status.Reason != metav1.StatusReasonInvalid ||
		status.Details == nil || len(status.Details.Causes) != 1 || status.Details.Causes[0].Field != path {
		t.Errorf("got status %d, want %s denied: %s", code, path, content)
	}
}
