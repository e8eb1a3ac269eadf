// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// encodeLikeKubeAPIServer returns the bytes that kube-apiserver stores for an object.
func encodeLikeKubeAPIServer(t *testing.T, obj runtime.Object) []byte {
	t.Helper()
	serializer := protobuf.NewSerializer(legacyscheme.Scheme, legacyscheme.Scheme)
	content, err := runtime.Encode(legacyscheme.Codecs.EncoderForVersion(serializer, batchv1.SchemeGroupVersion), obj)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestStorageEncodingMatchesKubeAPIServer(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	created := shared.admin.create(t, namespace, newJob(t))
	shared.admin.do(t, request{method: http.MethodPost, path: cronJobsPath(namespace), body: []byte(cronJob)}).expect(t, http.StatusCreated)
	for _, key := range []string{jobKey(namespace, "pi"), cronJobKey(namespace, "nightly")} {
		after := shared.read(t, key)
		if !bytes.HasPrefix(after.value, []byte("k8s\x00")) {
			t.Fatalf("%s is not Kubernetes protobuf: %q", key, after.value)
		}
		if want := encodeLikeKubeAPIServer(t, after.object(t)); !bytes.Equal(want, after.value) {
			t.Errorf("%s differs from upstream's encoding:\nwant %q\ngot  %q", key, want, after.value)
		}
	}
	created.SelfLink, created.ResourceVersion = "", ""
	if diff := cmp.Diff(created, shared.read(t, jobKey(namespace, "pi")).job(t)); diff != "" {
		t.Errorf("stored Job differs from returned Job (-returned +stored):\n%s", diff)
	}
}

// The test writes a Job directly to etcd, like a kube-apiserver on the same etcd.
func TestStorageServesJobFromKubeAPIServer(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	internal, versioned := &batch.Job{}, newJob(t, manualSelector)
	versioned.Namespace, versioned.UID, versioned.Generation = namespace, types.UID("by-hand"), 1
	versioned.CreationTimestamp = startTime
	legacyscheme.Scheme.Default(versioned)
	if err := legacyscheme.Scheme.Convert(versioned, internal, nil); err != nil {
		t.Fatal(err)
	}
	key := jobKey(namespace, "pi")
	if _, err := shared.etcd.Put(t.Context(), key, string(encodeLikeKubeAPIServer(t, internal))); err != nil {
		t.Fatal(err)
	}
	before := shared.read(t, key)

	job := shared.admin.get(t, jobPath(namespace, "pi")).job(t)
	if job.UID != "by-hand" || job.SelfLink != jobPath(namespace, "pi") {
		t.Errorf("served Job differs from stored Job: %v", job.ObjectMeta)
	}
	var list batchv1.JobList
	shared.admin.get(t, jobsPath(namespace)).decode(t, &list)
	if len(list.Items) != 1 || list.Items[0].UID != "by-hand" {
		t.Errorf("Job is not listed: %v", list.Items)
	}
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"spec":{"backoffLimit":1}}`).expect(t, http.StatusUnprocessableEntity)
	shared.read(t, key).expectUnchanged(t, before)
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"labels":{"team":"green"}}}`).expect(t, http.StatusOK)
	want := before.job(t)
	want.Labels["team"] = "green"
	if diff := cmp.Diff(want, shared.read(t, key).job(t), ignoreBookkeeping); diff != "" {
		t.Errorf("stored Job (-want +got):\n%s", diff)
	}
}

// Each update sends stored values in another, equivalent form. The stored form must not change.
func TestStorageKeepsBytesOfUnchangedFields(t *testing.T) {
	t.Parallel()
	for name, patch := range map[string]string{
		"resource requests in other units": `[{"op":"replace","path":"/spec/template/spec/containers/0/resources/requests","value":{"memory":"1073741824","cpu":"500m"}},
			{"op":"replace","path":"/metadata/labels/team","value":"green"}]`,
		"empty lists and maps": `[{"op":"add","path":"/spec/template/spec/imagePullSecrets","value":[]},
			{"op":"add","path":"/spec/template/spec/containers/1/env","value":[]},
			{"op":"add","path":"/spec/template/spec/containers/1/resources/limits","value":{}},
			{"op":"replace","path":"/metadata/labels/team","value":"green"}]`,
	} {
		for _, update := range updateTypes {
			t.Run(name+" by "+update.name, func(t *testing.T) {
				t.Parallel()
				namespace := newNamespace()
				original := shared.admin.apply(t, namespace, newJob(t))
				before := shared.read(t, jobKey(namespace, "pi"))
				update.send(t, shared.admin, jobPath(namespace, "pi"), update.bodyFor(t, patch, original), false).expect(t, http.StatusOK)
				after := shared.read(t, jobKey(namespace, "pi"))
				want, got := before.job(t), after.job(t)
				want.Labels["team"] = "green"
				want.ManagedFields, got.ManagedFields = nil, nil
				wantBytes, gotBytes := encodeLikeKubeAPIServer(t, want), encodeLikeKubeAPIServer(t, got)
				if !bytes.Equal(wantBytes, gotBytes) {
					t.Errorf("more than the label changed:\nwant %q\ngot  %q", wantBytes, gotBytes)
				}
			})
		}
	}
}
