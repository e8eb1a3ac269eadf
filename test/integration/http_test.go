// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// Media types of patches.
const (
	jsonPatch      = "application/json-patch+json"
	mergePatch     = "application/merge-patch+json"
	strategicPatch = "application/strategic-merge-patch+json"
	applyPatch     = "application/apply-patch+yaml"
)

type request struct {
	method      string
	path        string
	query       url.Values
	contentType string // of the body; if empty, application/json
	accept      string // if empty, there is no Accept header
	body        []byte
	header      http.Header
}

type response struct {
	code   int
	header http.Header
	body   []byte
}

func (r request) build(ctx context.Context, server string, body io.Reader) (*http.Request, error) {
	url := server + r.path
	if len(r.query) > 0 {
		url += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, url, body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	return req, nil
}

// send sends the request and reads the whole response.
func (u *user) send(ctx context.Context, r request) (*response, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := r.build(ctx, u.server.url, body)
	if err != nil {
		return nil, err
	}
	resp, err := u.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return &response{code: resp.StatusCode, header: resp.Header, body: content}, nil
}

// do sends the request. It fails the test if there is no response.
func (u *user) do(t testing.TB, r request) *response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	resp, err := u.send(ctx, r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return resp
}

// get fails the test unless the status is 200.
func (u *user) get(t testing.TB, path string) *response {
	t.Helper()
	return u.do(t, request{method: http.MethodGet, path: path}).expect(t, http.StatusOK)
}

// expect fails the test if the response has a different status.
func (resp *response) expect(t testing.TB, code int) *response {
	t.Helper()
	if resp.code != code {
		t.Fatalf("got status %d, want %d: %s", resp.code, code, resp.body)
	}
	return resp
}

// decode decodes the JSON body into v.
func (resp *response) decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(resp.body, v); err != nil {
		t.Fatalf("decoding response: %v\n%s", err, resp.body)
	}
}

// job decodes the body as a Job.
func (resp *response) job(t testing.TB) *batchv1.Job {
	t.Helper()
	job := &batchv1.Job{}
	resp.decode(t, job)
	if job.Kind != "Job" || job.APIVersion != "batch/v1" {
		t.Fatalf("response is not a batch/v1 Job: %s", resp.body)
	}
	return job
}

// status decodes the body as a Status.
func (resp *response) status(t testing.TB) *metav1.Status {
	t.Helper()
	status := &metav1.Status{}
	resp.decode(t, status)
	if status.Kind != "Status" || status.APIVersion != "v1" {
		t.Fatalf("response is not a Status: %s", resp.body)
	}
	return status
}

// warnings returns the texts of the Warning headers.
func (resp *response) warnings(t testing.TB) []string {
	t.Helper()
	headers, errs := utilnet.ParseWarningHeaders(resp.header["Warning"])
	if len(errs) > 0 {
		t.Fatalf("parsing Warning headers: %v", errs)
	}
	var texts []string
	for _, h := range headers {
		if h.Code != 299 {
			t.Errorf("warning has code %d, want 299", h.Code)
		}
		texts = append(texts, h.Text)
	}
	return texts
}
