// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bodylimit

import (
	"bytes"
	"encoding/binary"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // imported by pkg/apiserver in production
	_ "k8s.io/kubernetes/pkg/apis/core/install"  // types in batch
)

const protobufType = "application/vnd.kubernetes.protobuf"

// protobufBody returns a body with the encoded object.
func protobufBody(t *testing.T, apiVersion, kind string, raw []byte) []byte {
	t.Helper()
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: apiVersion, Kind: kind}, Raw: raw}
	data, err := unknown.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(protobufPrefix), data...)
}

// message returns a field with a message.
func message(field byte, content []byte) []byte {
	return append(binary.AppendUvarint([]byte{field<<3 | protobufBytes}, uint64(len(content))), content...)
}

func TestCheck_Protobuf(t *testing.T) {
	container, item := message(2, nil), message(2, nil)
	inPodSpec := func(content []byte) []byte { return message(2, message(6, message(2, content))) } // spec.template.spec of a Job
	text := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Command: []string{string(bytes.Repeat([]byte("\x12\x00"), 1<<20))}}}}}
	longText, err := (&batchv1.Job{Spec: batchv1.JobSpec{Template: text}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	labels := message(1, bytes.Repeat(message(11, message(1, []byte("k"))), maxValues)) // metadata.labels
	// The generated code of k8s.io/api reads this as the tag of containers.
	longTag := []byte{0x92, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7e, 0}
	for name, tc := range map[string]struct {
		apiVersion, kind string
		raw              []byte
		tooLarge         bool
	}{
		// spec.podFailurePolicy.rules.onExitCodes.values, and supplementalGroups of the Pod.
		"packed exit codes":              {"batch/v1", "Job", message(2, message(11, message(1, message(2, message(3, make([]byte, maxValues)))))), true},
		"packed groups":                  {"batch/v1", "Job", inPodSpec(message(14, message(4, make([]byte, maxValues)))), true},
		"packed groups below the limit":  {"batch/v1", "Job", inPodSpec(message(14, message(4, make([]byte, maxValues-100)))), false},
		"containers at the limit":        {"batch/v1", "Job", inPodSpec(bytes.Repeat(container, maxObjects-4)), false},
		"containers over the limit":      {"batch/v1", "Job", inPodSpec(bytes.Repeat(container, maxObjects)), true},
		"containers of a CronJob":        {"batch/v1", "CronJob", message(2, message(5, inPodSpec(bytes.Repeat(container, maxObjects)))), true},
		"containers before a wrong type": {"batch/v1", "Job", inPodSpec(append(bytes.Repeat(container, maxObjects), 7)), true},
		"containers after a group":       {"batch/v1", "Job", inPodSpec(append([]byte{0xf3, 1, 0xf4, 1}, bytes.Repeat(container, maxObjects)...)), true},
		"containers with long tags":      {"batch/v1", "Job", inPodSpec(bytes.Repeat(longTag, maxObjects)), true},
		"Jobs in a list":                 {"batch/v1", "JobList", bytes.Repeat(item, maxObjects), true},
		"Pods in a list":                 {"v1", "PodList", bytes.Repeat(item, maxObjects), true},
		"metadata in a list":             {"meta.k8s.io/v1", "PartialObjectMetadataList", bytes.Repeat(item, maxObjects), true},
		"Jobs in a list without version": {"", "JobList", bytes.Repeat(item, maxObjects), true},
		"containers without type":        {"", "", inPodSpec(bytes.Repeat(container, maxObjects)), true},
		"labels":                         {"batch/v1", "Job", labels, true},
		"messages in a string":           {"batch/v1", "Job", longText, false},
		"truncated":                      {"batch/v1", "Job", longText[:len(longText)/2], false},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(protobufType, protobufBody(t, tc.apiVersion, tc.kind, tc.raw))
			if apierrors.IsRequestEntityTooLargeError(err) != tc.tooLarge || err != nil && !tc.tooLarge {
				t.Errorf("got error %v, want a request entity too large: %t", err, tc.tooLarge)
			}
		})
	}
}

// Each container counts as one object, and so does each message around it.
func TestProtobufSize_CountsWhatIsDecoded(t *testing.T) {
	job := &batchv1.Job{}
	raw := message(2, message(6, message(2, bytes.Repeat(message(2, nil), 1_000))))
	if err := job.Unmarshal(raw); err != nil {
		t.Fatal(err)
	}
	s := protobufSize(protobufBody(t, "batch/v1", "Job", raw))
	if n := len(job.Spec.Template.Spec.Containers); s.objects != n+4 {
		t.Errorf("got %d objects for %d containers in 4 messages", s.objects, n)
	}
}
