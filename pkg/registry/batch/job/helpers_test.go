// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // conversion and defaults of Jobs
	_ "k8s.io/kubernetes/pkg/apis/core/install"  // and of their Pod templates
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

const manifest = `
apiVersion: batch/v1
kind: Job
metadata: {name: render, namespace: studio, labels: {app: render}, finalizers: [example.com/a]}
spec:
  parallelism: 2
  completions: 4
  template:
    metadata: {labels: {app: render}}
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: render:1
        resources: {requests: {memory: 1Gi}}
`

// uid is the UID of the stored Job. Its generated selector contains it.
const uid = "6f7f4b1a-8c53-4e0c-9d5e-1a2b3c4d5e6f"

// bootstrapGate has the bootstrap policies only.
var bootstrapGate = newGate()

// newGate returns a gate with the bootstrap policies and others.
func newGate(others ...*v1alpha1.JobUpdatePolicy) *Gate {
	snapshot, invalid := fieldpolicy.Compile(append(bootstrappolicy.Policies(), others...))
	if len(invalid) > 0 {
		panic(invalid)
	}
	snapshots := &fieldpolicy.SnapshotStore{}
	snapshots.Set(snapshot)
	return &Gate{Policies: snapshots, NamespaceLabels: namespaceLabels, CachedNamespaceLabels: func(namespace string) labels.Set {
		return namespaceLabels(context.Background(), namespace)
	}}
}

func namespaceLabels(_ context.Context, namespace string) labels.Set {
	return labels.Set{"kubernetes.io/metadata.name": namespace}
}

// requestContext returns the context of a request for the Job in the namespace studio.
func requestContext(userName string, warnings warning.Recorder) context.Context {
	ctx := genericapirequest.WithNamespace(context.Background(), "studio")
	ctx = genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{
		APIGroup: "batch", APIVersion: "v1", Resource: "jobs", Namespace: "studio", Name: "render",
	})
	if userName != "" {
		ctx = genericapirequest.WithUser(ctx, &user.DefaultInfo{Name: userName, Groups: []string{"team", "system:authenticated"}})
	}
	return warning.WithWarningRecorder(ctx, warnings)
}

// recorder records warnings.
type recorder struct{ texts []string }

func (r *recorder) AddWarning(_, text string) { r.texts = append(r.texts, text) }

// storedJob returns the Job of the manifest as upstream stores it, with changes applied before
// it is created.
func storedJob(t testing.TB, changes ...func(*batch.Job)) *batch.Job {
	t.Helper()
	obj, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(batchv1.SchemeGroupVersion), []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	job := &batch.Job{}
	if err := legacyscheme.Scheme.Convert(obj, job, nil); err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		if change != nil {
			change(job)
		}
	}
	job.CreationTimestamp = metav1.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	job.UID = uid
	if err := rest.BeforeCreate(upstream.Strategy, requestContext("", &recorder{}), job); err != nil {
		t.Fatalf("the stored Job is invalid: %v", err)
	}
	job.ResourceVersion = "41"
	return job
}

// result is the result of an update.
type result struct {
	stored   *batch.Job // nil if the update failed
	err      error
	warnings []string
}

// update updates old like the generic store.
func update(t testing.TB, strategy rest.RESTUpdateStrategy, userName string, old *batch.Job, send func(*batch.Job)) result {
	t.Helper()
	sent := old.DeepCopy()
	send(sent)
	stored := old.DeepCopy()
	var warnings recorder
	err := rest.BeforeUpdate(strategy, requestContext(userName, &warnings), sent, stored)
	r := result{err: err, warnings: warnings.texts}
	if err == nil {
		r.stored = sent
	}
	return r
}

// causes returns the sorted causes of an Invalid error as "reason field".
func causes(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) || status.Status().Code != 422 {
		t.Fatalf("the error is not Invalid with code 422: %v", err)
	}
	var result []string
	for _, cause := range status.Status().Details.Causes {
		result = append(result, fmt.Sprintf("%s %s", cause.Type, cause.Field))
	}
	slices.Sort(result)
	return result
}
