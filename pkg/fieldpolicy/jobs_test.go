package fieldpolicy

import (
	"os"
	"path/filepath"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // conversion and defaults of Jobs
	_ "k8s.io/kubernetes/pkg/apis/core/install"  // and of their pod templates
)

// storedJob returns the Job of testdata as it would be stored: with upstream's defaults.
func storedJob(t testing.TB) *batchv1.Job {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	obj, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(batchv1.SchemeGroupVersion), content)
	if err != nil {
		t.Fatal(err)
	}
	return obj.(*batchv1.Job)
}

// internalJob converts without defaulting. The result shares no memory with its argument.
func internalJob(t testing.TB, in *batchv1.Job) *batch.Job {
	t.Helper()
	out := &batch.Job{}
	if err := legacyscheme.Scheme.Convert(in.DeepCopy(), out, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

// v1Job converts as the gate does before it asks for the refused paths.
func v1Job(t testing.TB, in *batch.Job) *batchv1.Job {
	t.Helper()
	out := &batchv1.Job{}
	if err := legacyscheme.Scheme.Convert(in.DeepCopy(), out, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

// update returns what an update is about: the stored Job, and the same with a change.
func update(t testing.TB, change func(*batchv1.Job)) (new, old *batch.Job) {
	t.Helper()
	stored := storedJob(t)
	sent := stored.DeepCopy()
	change(sent)
	return internalJob(t, sent), internalJob(t, stored)
}

// bootstrap is the Snapshot of a server without policies of an admin.
var bootstrap, _ = Compile(Bootstrap())

// verdict returns the paths that the bootstrap policies refuse of an update, which are none
// if and only if Keep allows it: each of them grants its fields as a whole.
func verdict(t testing.TB, new, old *batch.Job, user User) []Path {
	t.Helper()
	refused := bootstrap.Judge(v1Job(t, new), v1Job(t, old), user, nil).Refused()
	kept, allowed := bootstrap.Keep(new, old, user)
	if allowed != (len(refused) == 0) {
		t.Errorf("Keep says allowed=%t, while Judge refuses %q", allowed, refused)
	}
	if allowed != (kept != nil) {
		t.Errorf("Keep says allowed=%t and returns the Job %v", allowed, kept)
	}
	return refused
}

// settled returns the Job to store for an update that Judge allows, as the gate does it.
func settled(t testing.TB, v *Verdict, new, old *batch.Job) *batch.Job {
	t.Helper()
	return Settle(internalJob(t, v.Job), new, old)
}
