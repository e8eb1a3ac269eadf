// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
)

// Feature gates are global in a process, so this test starts its own server process.
func TestCBORServedAndGatedWhenEnabled(t *testing.T) {
	t.Parallel()
	p := startClusterProcess(t, "--feature-gates=CBORServingAndStorage=true")
	send := func(method, contentType string, body any) *response {
		r := request{method: method, path: jobPath("default", "pi"), accept: cborMediaType}
		switch method {
		case http.MethodPost:
			r.path = jobsPath("default")
		case http.MethodPatch:
			r.path += "?fieldManager=cbor&force=true"
		}
		if body != nil {
			content, err := direct.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			r.contentType, r.body = contentType, content
		}
		resp := p.admin.do(t, r)
		if got := resp.header.Get("Content-Type"); got != cborMediaType {
			t.Errorf("response to %s has Content-Type %s: %s", method, got, resp.body)
		}
		return resp
	}
	read := func(resp *response) *batchv1.Job {
		job := &batchv1.Job{}
		if err := direct.Unmarshal(resp.body, job); err != nil {
			t.Fatalf("decoding CBOR: %v\n%q", err, resp.body)
		}
		return job
	}
	send(http.MethodPost, cborMediaType, newJob(t)).expect(t, http.StatusCreated)
	job := read(send(http.MethodGet, "", nil).expect(t, http.StatusOK))
	job.Labels["team"] = "green"
	job = read(send(http.MethodPut, cborMediaType, job).expect(t, http.StatusOK))
	if job.Labels["team"] != "green" || job.SelfLink != jobPath("default", "pi") {
		t.Errorf("wrong Job after PUT: %v", job.ObjectMeta)
	}
	const applyMediaType = "application/apply-patch+cbor"
	applied := func(spec map[string]any) map[string]any {
		return map[string]any{"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": "pi"}, "spec": spec}
	}
	job = read(send(http.MethodPatch, applyMediaType, applied(map[string]any{"parallelism": 3})).expect(t, http.StatusOK))
	if *job.Spec.Parallelism != 3 {
		t.Errorf("wrong Job after apply: %v", job.Spec)
	}
	send(http.MethodPatch, applyMediaType, applied(map[string]any{"parallelism": 4, "backoffLimit": 0})).expect(t, http.StatusUnprocessableEntity)
	if got := read(send(http.MethodGet, "", nil).expect(t, http.StatusOK)); got.ResourceVersion != job.ResourceVersion {
		t.Errorf("denied apply changed the Job: %v", got)
	}
	// The response to a failed authentication is encoded as CBOR too.
	unauthorized := p.newForger(t).do(t, request{method: http.MethodGet, path: jobPath("default", "pi"), accept: cborMediaType})
	if got := unauthorized.expect(t, http.StatusUnauthorized).header.Get("Content-Type"); got != cborMediaType {
		t.Errorf("response to a certificate of an unknown CA has Content-Type %s", got)
	}
	job.Spec.Template.Spec.Containers[0].Image = "python"
	send(http.MethodPut, cborMediaType, job).expect(t, http.StatusUnprocessableEntity)
	if image := p.admin.get(t, jobPath("default", "pi")).job(t).Spec.Template.Spec.Containers[0].Image; image != "perl" {
		t.Errorf("stored image is %s, want perl", image)
	}
}

func TestCBORDisabledByDefault(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	path := jobPath(namespace, "pi")
	shared.admin.do(t, request{method: http.MethodGet, path: path, accept: cborMediaType}).expect(t, http.StatusNotAcceptable)
	shared.admin.do(t, request{method: http.MethodPut, path: path, contentType: cborMediaType, body: []byte{0xa0}}).expect(t, http.StatusUnsupportedMediaType)
	shared.admin.patch(t, path, "application/apply-patch+cbor", "\xa0").expect(t, http.StatusUnsupportedMediaType)
	resp := shared.admin.do(t, request{method: http.MethodGet, path: path, accept: cborMediaType + ", application/json"}).expect(t, http.StatusOK)
	if got := resp.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("client that accepts CBOR and JSON got %s", got)
	}
}
