package takeover

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestEncodedObjectHasWhatIsStoredAndNotWhatEtcdAndTheServerAdd(t *testing.T) {
	job := canary()
	job.Name, job.UID, job.ResourceVersion, job.SelfLink = "pi", "1234", "7", "/apis/batch/v1/namespaces/default/jobs/pi"
	job.Status.Active = 3
	got, err := encode("jobs", job)
	if err != nil {
		t.Fatal(err)
	}
	if got.id != "jobs/default/pi" {
		t.Errorf("the id is %q", got.id)
	}
	if !bytes.HasPrefix(got.value, []byte("k8s\x00")) {
		t.Errorf("it is no protobuf: %q", got.value)
	}
	obj, kind, err := encoder.Decode(got.value, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if *kind != batchv1.SchemeGroupVersion.WithKind("Job") {
		t.Errorf("the kind is %s", kind)
	}
	want := job.DeepCopy()
	want.ResourceVersion, want.SelfLink, want.TypeMeta = "", "", metav1.TypeMeta{}
	decoded := obj.(*batchv1.Job)
	decoded.TypeMeta = metav1.TypeMeta{}
	if diff := cmp.Diff(want, decoded); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDifferNamesWhatIsMissingMoreAndOther(t *testing.T) {
	a, b := sum{1}, sum{2}
	for name, tc := range map[string]struct {
		want, got map[string]sum
		text      string
	}{
		"nothing":   {map[string]sum{"x": a}, map[string]sum{"x": a}, ""},
		"missing":   {map[string]sum{"x": a, "y": a}, map[string]sum{"x": a}, "1 missing (y 01000000)"},
		"more":      {map[string]sum{}, map[string]sum{"x": a}, "1 more (x 01000000)"},
		"other":     {map[string]sum{"x": a}, map[string]sum{"x": b}, "1 missing (x 01000000), 1 more (x 02000000)"},
		"no object": {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := differ(tc.want, tc.got); got != tc.text {
				t.Errorf("got %q, want %q", got, tc.text)
			}
		})
	}
}
