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

// asKubeAPIServerStores returns the bytes that kube-apiserver stores an object as.
func asKubeAPIServerStores(t *testing.T, obj runtime.Object) []byte {
	t.Helper()
	serializer := protobuf.NewSerializer(legacyscheme.Scheme, legacyscheme.Scheme)
	content, err := runtime.Encode(legacyscheme.Codecs.EncoderForVersion(serializer, batchv1.SchemeGroupVersion), obj)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestJobsAreStoredAsKubeAPIServerStoresThem(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	created := shared.admin.create(t, namespace, newJob(t))
	shared.admin.do(t, request{method: http.MethodPost, path: cronJobsPath(namespace), body: []byte(cronJob)}).expect(t, http.StatusCreated)
	for _, key := range []string{jobKey(namespace, "pi"), cronJobKey(namespace, "nightly")} {
		is := shared.read(t, key)
		if !bytes.HasPrefix(is.value, []byte("k8s\x00")) {
			t.Fatalf("%s has no protobuf of Kubernetes: %q", key, is.value)
		}
		if want := asKubeAPIServerStores(t, is.object(t)); !bytes.Equal(want, is.value) {
			t.Errorf("%s is not stored as upstream's encoder writes it:\nwant %q\ngot  %q", key, want, is.value)
		}
	}
	created.SelfLink, created.ResourceVersion = "", ""
	if diff := cmp.Diff(created, shared.read(t, jobKey(namespace, "pi")).job(t)); diff != "" {
		t.Errorf("the stored Job is not the answered one (-answered +stored):\n%s", diff)
	}
}

// TestAJobThatKubeAPIServerStoredIsServed writes to etcd past the server, as the other server
// on the same etcd does.
func TestAJobThatKubeAPIServerStoredIsServed(t *testing.T) {
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
	if _, err := shared.etcd.Put(t.Context(), key, string(asKubeAPIServerStores(t, internal))); err != nil {
		t.Fatal(err)
	}
	was := shared.read(t, key)

	job := shared.admin.get(t, jobPath(namespace, "pi")).job(t)
	if job.UID != "by-hand" || job.SelfLink != jobPath(namespace, "pi") {
		t.Errorf("the served Job is not the stored one: %v", job.ObjectMeta)
	}
	var list batchv1.JobList
	shared.admin.get(t, jobsPath(namespace)).decode(t, &list)
	if len(list.Items) != 1 || list.Items[0].UID != "by-hand" {
		t.Errorf("the Job is not listed: %v", list.Items)
	}
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"spec":{"backoffLimit":1}}`).expect(t, http.StatusUnprocessableEntity)
	shared.read(t, key).mustEqual(t, was)
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"labels":{"team":"green"}}}`).expect(t, http.StatusOK)
	want := was.job(t)
	want.Labels["team"] = "green"
	if diff := cmp.Diff(want, shared.read(t, key).job(t), ignoreBookkeeping); diff != "" {
		t.Errorf("the stored Job is not the wanted one (-want +got):\n%s", diff)
	}
}

// TestAnAllowedChangeKeepsTheBytesOfAllElse sends values that mean what is stored, in another
// spelling: the stored one stays.
func TestAnAllowedChangeKeepsTheBytesOfAllElse(t *testing.T) {
	t.Parallel()
	for name, patch := range map[string]string{
		"the requests in bytes and millis": `[{"op":"replace","path":"/spec/template/spec/containers/0/resources/requests","value":{"memory":"1073741824","cpu":"500m"}},
			{"op":"replace","path":"/metadata/labels/team","value":"green"}]`,
		"empty lists and maps": `[{"op":"add","path":"/spec/template/spec/imagePullSecrets","value":[]},
			{"op":"add","path":"/spec/template/spec/containers/1/env","value":[]},
			{"op":"add","path":"/spec/template/spec/containers/1/resources/limits","value":{}},
			{"op":"replace","path":"/metadata/labels/team","value":"green"}]`,
	} {
		for _, kind := range kinds {
			t.Run(name+" by "+kind.name, func(t *testing.T) {
				t.Parallel()
				namespace := newNamespace()
				before := shared.admin.apply(t, namespace, newJob(t))
				was := shared.read(t, jobKey(namespace, "pi"))
				kind.send(t, shared.admin, jobPath(namespace, "pi"), kind.change(t, patch, before), false).expect(t, http.StatusOK)
				is := shared.read(t, jobKey(namespace, "pi"))
				want, got := was.job(t), is.job(t)
				want.Labels["team"] = "green"
				want.ManagedFields, got.ManagedFields = nil, nil
				wantBytes, gotBytes := asKubeAPIServerStores(t, want), asKubeAPIServerStores(t, got)
				if !bytes.Equal(wantBytes, gotBytes) {
					t.Errorf("more than the label has changed:\nwant %q\ngot  %q", wantBytes, gotBytes)
				}
			})
		}
	}
}
