package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const mayNotThroughStatus = `may not be updated; updatable fields are metadata.labels, status; no JobUpdatePolicy grants it to "admin" (kubectl get jup)`

func statusPath(namespace, name string) string { return jobPath(namespace, name) + "/status" }

var startTime = metav1.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// throughStatus are changes of the Job sent to jobs/status, as JSON Patches.
var throughStatus = map[string]struct {
	patch string
	want  func(*batchv1.Job) // nil where the change is refused
	paths []string           // that the refusal names
	// removal says that the change only leaves something out. An apply means nothing by that
	// here: what it may remove was applied through the Job, not through its status.
	removal bool
}{
	"the status is changed": {
		patch: `[{"op":"add","path":"/status/active","value":1},{"op":"add","path":"/status/startTime","value":"2026-01-02T03:04:05Z"}]`,
		want: func(job *batchv1.Job) {
			job.Status.Active = 1
			job.Status.StartTime = &startTime
		},
	},
	"a label is changed": {
		patch: `[{"op":"replace","path":"/metadata/labels/team","value":"green"}]`,
		want:  func(job *batchv1.Job) { job.Labels["team"] = "green" },
	},
	"the status and a label are changed": {
		patch: `[{"op":"add","path":"/status/active","value":1},{"op":"replace","path":"/metadata/labels/team","value":"green"}]`,
		want: func(job *batchv1.Job) {
			job.Status.Active = 1
			job.Labels["team"] = "green"
		},
	},
	"the spec is sent with the status": {
		patch: `[{"op":"add","path":"/status/active","value":1},
		  {"op":"replace","path":"/spec/parallelism","value":7},
		  {"op":"replace","path":"/spec/suspend","value":true},
		  {"op":"replace","path":"/spec/template/spec/containers/0/image","value":"python"}]`,
		want: func(job *batchv1.Job) { job.Status.Active = 1 },
	},
	"an annotation is changed": {
		patch: `[{"op":"replace","path":"/metadata/annotations/example.com~1note","value":"second"}]`,
		paths: []string{`metadata.annotations["example.com/note"]`},
	},
	"an annotation is added with the status": {
		patch: `[{"op":"add","path":"/status/active","value":1},{"op":"add","path":"/metadata/annotations/example.com~1new","value":"x"}]`,
		paths: []string{`metadata.annotations["example.com/new"]`},
	},
	"a finalizer is removed": {
		patch: `[{"op":"remove","path":"/metadata/finalizers"}]`, removal: true,
		paths: []string{`metadata.finalizers["example.com/hold"]`},
	},
	"an owner reference is removed": {
		patch: `[{"op":"remove","path":"/metadata/ownerReferences"}]`, removal: true,
		paths: []string{`metadata.ownerReferences[uid="5f0e1b52-0000-4000-8000-000000000001"]`},
	},
}

func TestTheStatusSubresourceChangesStatusAndLabelsOnly(t *testing.T) {
	t.Parallel()
	for name, row := range throughStatus {
		for _, kind := range kinds {
			if row.removal && kind.name == "apply" {
				continue
			}
			t.Run(name+" by "+kind.name, func(t *testing.T) {
				t.Parallel()
				for _, client := range clients(t, "status") {
					namespace := newNamespace()
					body := kind.change(t, row.patch, shared.admin.apply(t, namespace, newJob(t)))
					was := shared.read(t, jobKey(namespace, "pi"))
					want := was.job(t)
					for _, dryRun := range []bool{true, false} {
						r := client.update(t, kind, namespace, body, dryRun)
						is := shared.read(t, jobKey(namespace, "pi"))
						if row.want == nil {
							r.expectRefusedWith(t, mayNotThroughStatus, row.paths)
							is.mustEqual(t, was)
							continue
						}
						if dryRun {
							row.want(want)
							is.mustEqual(t, was)
						} else if diff := cmp.Diff(want, is.job(t), ignoreBookkeeping); diff != "" {
							t.Errorf("%s: the stored Job is not the wanted one (-want +got):\n%s", client.name, diff)
						}
						r.expectChanged(t, client.name, want)
					}
				}
			})
		}
	}
}

func TestTheStatusSubresourceIgnoresTheSpec(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			before := shared.admin.apply(t, namespace, newJob(t))
			was := shared.read(t, jobKey(namespace, "pi"))
			body := kind.change(t, `[{"op":"replace","path":"/spec/completions","value":7},{"op":"replace","path":"/spec/backoffLimit","value":7}]`, before)
			kind.send(t, shared.admin, statusPath(namespace, "pi"), body, false).expect(t, http.StatusOK)
			is := shared.read(t, jobKey(namespace, "pi")).job(t)
			if diff := cmp.Diff(was.job(t), is, ignoreBookkeeping); diff != "" {
				t.Errorf("the stored Job has changed (-before +after):\n%s", diff)
			}
			if is.Generation != was.job(t).Generation {
				t.Errorf("the generation has risen to %d", is.Generation)
			}
		})
	}
}

// What an applier states of the other half is not recorded as its own: it has no effect there.
func TestAnApplierOwnsTheHalfOfTheJobThatItApplies(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.apply(t, namespace, newJob(t, func(job *batchv1.Job) { job.Status.Active = 2 }))
	body := string(encode(t, newJob(t, func(job *batchv1.Job) { job.Status.Active = 1 })))
	shared.admin.patch(t, statusPath(namespace, "pi"), applyPatch, body).expect(t, http.StatusOK)
	owned := map[string][]bool{}
	for _, entry := range shared.read(t, jobKey(namespace, "pi")).job(t).ManagedFields {
		fields := entry.FieldsV1.GetRawString()
		owned[entry.Subresource] = []bool{strings.Contains(fields, `"f:spec"`), strings.Contains(fields, `"f:status"`)}
	}
	want := map[string][]bool{"": {true, false}, "status": {false, true}}
	if diff := cmp.Diff(want, owned); diff != "" {
		t.Errorf("spec and status are not owned as they should be (-want +got):\n%s", diff)
	}
}

func TestAForcedApplyTakesOwnershipOfAllowedFieldsOnly(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spec    string   // that another manager applies
		refused []string // none where the change is allowed
	}{
		"a number is taken":            {`{"parallelism":2}`, nil},
		"the Job is suspended":         {`{"suspend":true}`, []string{`spec.suspend`}},
		"the Job is suspended with it": {`{"parallelism":2,"suspend":true}`, []string{`spec.suspend`}},
		"an image is taken":            {`{"template":{"spec":{"containers":[{"name":"main","image":"python"}]}}}`, []string{`spec.template.spec.containers[name="main"].image`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			path, key := jobPath(namespace, "pi"), jobKey(namespace, "pi")
			shared.admin.apply(t, namespace, newJob(t, func(job *batchv1.Job) { job.Spec.Suspend = ptr.To(false) }))
			was := shared.read(t, key)
			send := func(query string) *answer {
				body := `{"apiVersion":"batch/v1","kind":"Job","spec":` + row.spec + `}`
				return shared.admin.do(t, request{method: http.MethodPatch, path: path + "?fieldManager=other" + query, contentType: applyPatch, body: []byte(body)})
			}
			send("").expect(t, http.StatusConflict)
			for _, dryRun := range []string{"&dryRun=All", ""} {
				shared.read(t, key).mustEqual(t, was)
				a := send("&force=true" + dryRun)
				if row.refused == nil {
					a.expect(t, http.StatusOK)
				} else {
					a.result(t).expectRefused(t, row.refused)
				}
			}
			is := shared.read(t, key)
			if row.refused != nil {
				is.mustEqual(t, was)
				return
			}
			want, owners := was.job(t), []string{}
			want.Spec.Parallelism = ptr.To[int32](2)
			if diff := cmp.Diff(want, is.job(t), ignoreBookkeeping); diff != "" {
				t.Errorf("the stored Job is not the wanted one (-want +got):\n%s", diff)
			}
			for _, entry := range is.job(t).ManagedFields {
				if strings.Contains(entry.FieldsV1.GetRawString(), `"f:parallelism"`) {
					owners = append(owners, entry.Manager)
				}
			}
			if diff := cmp.Diff([]string{"other"}, owners); diff != "" {
				t.Errorf("the field is not owned as it should be (-want +got):\n%s", diff)
			}
		})
	}
}
