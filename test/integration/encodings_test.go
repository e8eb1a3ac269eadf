// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const (
	tableMediaType    = "application/json;as=Table;v=v1;g=meta.k8s.io"
	protobufMediaType = "application/vnd.kubernetes.protobuf"
	yamlMediaType     = "application/yaml"
	cborMediaType     = "application/cbor"
)

// codecs are the supported encodings of requests and responses, by media type.
var codecs = map[string]struct {
	encode func(t *testing.T, job *batchv1.Job) []byte
	decode func(t *testing.T, content []byte) *batchv1.Job
}{
	"application/json": {
		func(t *testing.T, job *batchv1.Job) []byte { return encode(t, job) },
		func(t *testing.T, content []byte) *batchv1.Job { return (&response{body: content}).job(t) },
	},
	yamlMediaType: {
		func(t *testing.T, job *batchv1.Job) []byte {
			content, err := yaml.Marshal(job)
			if err != nil {
				t.Fatal(err)
			}
			return content
		},
		func(t *testing.T, content []byte) *batchv1.Job {
			job := &batchv1.Job{}
			if err := yaml.UnmarshalStrict(content, job); err != nil {
				t.Fatalf("decoding YAML: %v\n%s", err, content)
			}
			return job
		},
	},
	protobufMediaType: {
		func(t *testing.T, job *batchv1.Job) []byte {
			content, err := runtime.Encode(protobufCodec, job)
			if err != nil {
				t.Fatal(err)
			}
			return content
		},
		func(t *testing.T, content []byte) *batchv1.Job {
			obj, err := runtime.Decode(protobufCodec, content)
			if err != nil {
				t.Fatalf("decoding protobuf: %v\n%q", err, content)
			}
			return obj.(*batchv1.Job)
		},
	},
}

var protobufCodec = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)

func TestEncodingsEquivalent(t *testing.T) {
	t.Parallel()
	for mediaType, codec := range codecs {
		t.Run(mediaType, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			send := func(method, path string, job *batchv1.Job) *response {
				r := request{method: method, path: path, accept: mediaType}
				if job != nil {
					r.contentType, r.body = mediaType, codec.encode(t, job)
				}
				resp := shared.admin.do(t, r)
				if got := resp.header.Get("Content-Type"); got != mediaType {
					t.Errorf("response to %s has Content-Type %s", method, got)
				}
				return resp
			}
			send(http.MethodPost, jobsPath(namespace), newJob(t)).expect(t, http.StatusCreated)
			got := codec.decode(t, send(http.MethodGet, jobPath(namespace, "pi"), nil).expect(t, http.StatusOK).body)
			if diff := cmp.Diff(shared.admin.get(t, jobPath(namespace, "pi")).job(t), got); diff != "" {
				t.Errorf("Job differs from its JSON encoding (-want +got):\n%s", diff)
			}

			got.Labels["team"] = "green"
			got = codec.decode(t, send(http.MethodPut, jobPath(namespace, "pi"), got).expect(t, http.StatusOK).body)
			if got.Labels["team"] != "green" || got.SelfLink != jobPath(namespace, "pi") {
				t.Errorf("wrong Job after PUT: %v", got.ObjectMeta)
			}
			before := shared.read(t, jobKey(namespace, "pi"))
			got.Spec.Template.Spec.Containers[0].Image = "python"
			send(http.MethodPut, jobPath(namespace, "pi"), got).expect(t, http.StatusUnprocessableEntity)
			shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
		})
	}
}
