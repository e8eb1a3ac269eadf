// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// target is a Job under attack.
type target struct {
	key   string
	value []byte // as stored
	job   *batchv1.Job
	tree  map[string]any // the stored bytes as JSON
	shown []byte         // as the server returns it, with latestPlaceholder as resource version
	// revision is the revision of the last write of the key. version is the number of writes.
	revision, version int64
}

const attackedNamespace = "attacked"

// everythingIndex is the index of the Job from everythingJob.
const everythingIndex = 4

// prepare creates the users, the policy and the Jobs.
func (v *victim) prepare(t testing.TB) {
	t.Helper()
	tuner := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: "tuner"}, Spec: v1alpha1.JobUpdatePolicySpec{
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: "tuner"}},
		Fields:   []string{"spec.suspend", `spec.template.spec.containers[name="main"].image`, `metadata.annotations["example.com/*"]`},
	}}
	created, err := v.server.admin.policies(t).Create(t.Context(), tuner, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating JobUpdatePolicy: %v", err)
	}
	waitForPolicyReady(t, v.server.admin, created)
	v.addUser(t, "admin")
	v.addUser(t, "tuner", "spec.suspend", mainImageField, exampleAnnotationsField)
	v.addUser(t, "system:serviceaccount:kube-system:generic-garbage-collector", "metadata.finalizers", "metadata.ownerReferences")

	v.addJob(t, newJob(t, named("plain")), nil)
	v.addJob(t, newJob(t, named("finished")), finishedComplete)
	v.addJob(t, newJob(t, named("indexed"), indexed(4, 4)), func(job *batchv1.Job) {
		job.Status = batchv1.JobStatus{StartTime: &startTime, Succeeded: 2, CompletedIndexes: "0,2"}
	})
	v.addJob(t, newJob(t, named("manual"), manualSelector), nil)
	v.addJob(t, everythingJob(t), nil) // everythingIndex
	v.addJob(t, newJob(t, named("deleted")), nil)
	v.server.admin.do(t, request{
		method: http.MethodDelete, path: jobPath(attackedNamespace, "deleted"),
		body: []byte(`{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Foreground"}`),
	}).expect(t, http.StatusOK)
	v.server.admin.do(t, request{
		method: http.MethodPost, path: "/apis/batch/v1/namespaces/" + attackedNamespace + "/cronjobs",
		body: []byte(`{"metadata":{"name":"other"},"spec":{"schedule":"@daily","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"a","image":"b"}]}}}}}}`),
	}).expect(t, http.StatusCreated)
	for i, target := range v.jobs {
		v.setFixedUID(t, i, target)
	}
	_, v.keys = v.written(t)
}

func (v *victim) addUser(t testing.TB, name string, grants ...string) {
	t.Helper()
	cert, err := clientCertificate(v.server.ca, name, "system:masters")
	if err != nil {
		t.Fatalf("creating user %s: %v", name, err)
	}
	v.users = append(v.users, &attacker{v.server.newUserWithCertificate(cert), cert.Leaf, name, grants})
}

// addJob creates a Job and updates its status if setStatus is not nil.
func (v *victim) addJob(t testing.TB, job *batchv1.Job, setStatus func(*batchv1.Job)) {
	t.Helper()
	v.server.admin.apply(t, attackedNamespace, job)
	if setStatus != nil {
		created := v.server.admin.get(t, jobPath(attackedNamespace, job.Name)).job(t)
		setStatus(created)
		v.server.admin.do(t, request{method: http.MethodPut, path: statusPath(attackedNamespace, job.Name), body: encode(t, created)}).expect(t, http.StatusOK)
	}
	v.jobs = append(v.jobs, &target{job: job})
}

func finishedComplete(job *batchv1.Job) {
	job.Status = finished(batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
}

// everythingJob returns a Job that sets every kind of field that a path can name.
func everythingJob(t testing.TB) *batchv1.Job {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "pkg", "fieldpolicy", "testdata", "job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	job := &batchv1.Job{}
	if err := yaml.UnmarshalStrict(content, job); err != nil {
		t.Fatal(err)
	}
	job.ObjectMeta = metav1.ObjectMeta{Name: "everything", Annotations: job.Annotations, OwnerReferences: job.OwnerReferences, Finalizers: job.Finalizers}
	job.Spec.Selector, job.Spec.Template.Labels, job.Status = nil, nil, batchv1.JobStatus{}
	return job
}

// setFixedUID sets a UID that is the same in every process, so that a stored attack can be
// repeated. Then it reads the target's fields from etcd and the server.
func (v *victim) setFixedUID(t testing.TB, number int, target *target) {
	t.Helper()
	target.key = v.prefix + "jobs/" + attackedNamespace + "/" + target.job.Name
	before := v.server.read(t, target.key)
	uid := fmt.Sprintf("00000000-0000-4000-8000-%012d", number)
	target.value = bytes.ReplaceAll(before.value, []byte(before.job(t).UID), []byte(uid))
	v.restore(t, target)
	target.job = stored{value: target.value}.job(t)
	target.tree = tree(t, target.job)
	shown := v.server.admin.get(t, jobPath(attackedNamespace, target.job.Name)).body
	target.shown = bytes.Replace(shown, fmt.Appendf(nil, `"resourceVersion":"%d"`, target.revision), []byte(`"resourceVersion":"`+latestPlaceholder+`"`), 1)
}

// tree returns the Job as JSON, with numbers as json.Number.
func tree(t testing.TB, job *batchv1.Job) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(encode(t, job)))
	decoder.UseNumber()
	var result map[string]any
	if err := decoder.Decode(&result); err != nil {
		t.Fatal(err)
	}
	return result
}
