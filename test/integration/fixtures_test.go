// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"
)

var namespaces atomic.Int64

// newNamespace returns the name of a namespace that no other test uses. The Namespace object
// does not exist: without a cluster nothing checks for it.
func newNamespace() string { return fmt.Sprintf("ns-%d", namespaces.Add(1)) }

func jobsPath(namespace string) string {
	return "/apis/batch/v1/namespaces/" + namespace + "/jobs"
}

func jobPath(namespace, name string) string { return jobsPath(namespace) + "/" + name }

// fixture is a Job that sets every field that a test changes.
const fixture = `
apiVersion: batch/v1
kind: Job
metadata:
  name: pi
  labels: {team: blue, tier: batch}
  annotations: {example.com/note: first, example.com/other: stays}
  finalizers: [example.com/hold]
  ownerReferences:
  - {apiVersion: v1, kind: ConfigMap, name: owner, uid: 5f0e1b52-0000-4000-8000-000000000001}
spec:
  parallelism: 1
  completions: 3
  backoffLimit: 4
  activeDeadlineSeconds: 600
  template:
    metadata:
      labels: {app: pi}
      annotations: {example.com/pod: "yes"}
    spec:
      restartPolicy: Never
      nodeSelector: {disk: ssd}
      tolerations:
      - {key: batch, operator: Exists}
      initContainers:
      - {name: setup, image: busybox}
      containers:
      - name: main
        image: perl
        command: [perl, -Mbignum=bpi, -wle, print bpi(100)]
        env:
        - {name: MODE, value: fast}
        ports:
        - {containerPort: 80}
        - {containerPort: 80, protocol: UDP}
        resources:
          requests: {memory: 1024Mi, cpu: 0.5}
      - {name: side, image: busybox}
      volumes:
      - {name: data, emptyDir: {}}
`

// newJob returns the fixture with the changes applied.
func newJob(t testing.TB, changes ...func(*batchv1.Job)) *batchv1.Job {
	t.Helper()
	job := &batchv1.Job{}
	if err := yaml.UnmarshalStrict([]byte(fixture), job); err != nil {
		t.Fatalf("decoding fixture: %v", err)
	}
	for _, change := range changes {
		change(job)
	}
	return job
}

// applier is the field manager of created and applied Jobs. A later apply removes the fields
// that it leaves out.
const applier = "applier"

// apply creates the Job like kubectl apply --server-side and returns the response body.
func (u *user) apply(t testing.TB, namespace string, job *batchv1.Job) []byte {
	t.Helper()
	return u.do(t, request{
		method:      http.MethodPatch,
		path:        jobPath(namespace, job.Name),
		query:       url.Values{"fieldManager": {applier}},
		contentType: applyPatch,
		body:        encode(t, job),
	}).expect(t, http.StatusCreated).body
}

// create creates the Job and returns it as the server returned it.
func (u *user) create(t testing.TB, namespace string, job *batchv1.Job) *batchv1.Job {
	t.Helper()
	return u.do(t, request{
		method: http.MethodPost,
		path:   jobsPath(namespace),
		body:   encode(t, job),
	}).expect(t, http.StatusCreated).job(t)
}

// patch sends a patch. An apply is forced and has the field manager applier.
func (u *user) patch(t testing.TB, path, contentType, body string) *response {
	t.Helper()
	r := request{method: http.MethodPatch, path: path, contentType: contentType, body: []byte(body)}
	if contentType == applyPatch {
		r.query = url.Values{"fieldManager": {applier}, "force": {"true"}}
	}
	return u.do(t, r)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("encoding %T: %v", v, err)
	}
	return b
}

func named(name string) func(*batchv1.Job) {
	return func(job *batchv1.Job) { job.Name = name }
}
