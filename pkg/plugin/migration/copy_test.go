// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

func TestEncodeReturnsStoredForm(t *testing.T) {
	job := cluster.Canary()
	job.Name, job.UID, job.ResourceVersion, job.SelfLink = "pi", "1234", "7", "/apis/batch/v1/namespaces/default/jobs/pi"
	job.Status.Active = 3
	got, err := encode("jobs", job)
	if err != nil {
		t.Fatal(err)
	}
	if got.id != "jobs/default/pi" {
		t.Errorf("unexpected id: %q", got.id)
	}
	if !bytes.HasPrefix(got.value, []byte("k8s\x00")) {
		t.Errorf("not protobuf: %q", got.value)
	}
	obj, kind, err := encoder.Decode(got.value, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if *kind != batchv1.SchemeGroupVersion.WithKind("Job") {
		t.Errorf("unexpected kind: %s", kind)
	}
	want := job.DeepCopy()
	want.ResourceVersion, want.SelfLink, want.TypeMeta = "", "", metav1.TypeMeta{}
	decoded := obj.(*batchv1.Job)
	decoded.TypeMeta = metav1.TypeMeta{}
	if diff := cmp.Diff(want, decoded); diff != "" {
		t.Errorf("unexpected result (-want +got):\n%s", diff)
	}
}

func TestDifferenceOfChecksums(t *testing.T) {
	a, b := checksum{1}, checksum{2}
	for name, tc := range map[string]struct {
		want, got map[string]checksum
		text      string
	}{
		"equal":      {map[string]checksum{"x": a}, map[string]checksum{"x": a}, ""},
		"missing":    {map[string]checksum{"x": a, "y": a}, map[string]checksum{"x": a}, "1 missing (y 01000000)"},
		"more":       {map[string]checksum{}, map[string]checksum{"x": a}, "1 more (x 01000000)"},
		"changed":    {map[string]checksum{"x": a}, map[string]checksum{"x": b}, "1 missing (x 01000000), 1 more (x 02000000)"},
		"no objects": {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := difference(tc.want, tc.got); got != tc.text {
				t.Errorf("got %q, want %q", got, tc.text)
			}
		})
	}
}
