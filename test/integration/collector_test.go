package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"
)

// withoutFinalizer is a Job that nothing but the deletion itself keeps.
func withoutFinalizer(job *batchv1.Job) { job.Finalizers = nil }

func (u *user) delete(t *testing.T, path, query string) *answer {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return u.do(t, request{method: http.MethodDelete, path: path, query: values})
}

// TestDeletionIsFinishedByTheGarbageCollectorOnly goes through what the garbage collector
// does, with its requests: a JSON merge patch of the finalizers, guarded by the UID and the
// resource version.
func TestDeletionIsFinishedByTheGarbageCollectorOnly(t *testing.T) {
	t.Parallel()
	for policy, finalizer := range map[string]string{"Foreground": "foregroundDeletion", "Orphan": "orphan"} {
		for _, subresource := range []string{"", "/status"} {
			t.Run(policy+subresource, func(t *testing.T) {
				t.Parallel()
				namespace := newNamespace()
				shared.admin.create(t, namespace, newJob(t, withoutFinalizer))
				before := shared.read(t, jobKey(namespace, "pi"))
				shared.admin.delete(t, jobPath(namespace, "pi"), "propagationPolicy="+policy).expect(t, http.StatusOK)
				shared.read(t, jobKey(namespace, "pi")).mustBeDeleted(t, before, finalizer)
				deleted := shared.admin.get(t, jobPath(namespace, "pi")).job(t)
				body := fmt.Sprintf(`{"metadata":{"resourceVersion":%q,"uid":%q,"finalizers":[]}}`, deleted.ResourceVersion, deleted.UID)
				was := shared.read(t, jobKey(namespace, "pi"))
				r := shared.admin.patch(t, jobPath(namespace, "pi")+subresource, mergePatch, body).result(t)
				message := mayNot
				if subresource != "" {
					message = mayNotThroughStatus
				}
				r.expectRefusedWith(t, message, []string{fmt.Sprintf("metadata.finalizers[%q]", finalizer)})
				shared.read(t, jobKey(namespace, "pi")).mustEqual(t, was)

				shared.gc.patch(t, jobPath(namespace, "pi")+subresource, mergePatch, body).expect(t, http.StatusOK)
				if left := shared.read(t, jobKey(namespace, "pi")); left.value != nil {
					t.Errorf("the Job is still there: %v", left.object(t))
				}
				shared.admin.do(t, request{method: http.MethodGet, path: jobPath(namespace, "pi")}).expect(t, http.StatusNotFound)
			})
		}
	}
}

func TestTheGarbageCollectorIsBoundInAllElse(t *testing.T) {
	t.Parallel()
	manager, err := shared.newUser("system:kube-controller-manager", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	for identity, u := range map[string]*user{
		"system:serviceaccount:kube-system:generic-garbage-collector": shared.gc,
		"system:kube-controller-manager":                              manager,
	} {
		message := fmt.Sprintf("may not be updated; updatable fields are metadata.finalizers, metadata.labels, metadata.ownerReferences, "+
			"spec.completions, spec.parallelism, spec.selector; no JobUpdatePolicy grants it to %q (kubectl get jup)", identity)
		for name, row := range map[string]struct {
			patch string
			paths []string // none where the change is allowed
		}{
			"finalizers are added": {
				`[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/more"}]`, nil,
			},
			"finalizers are removed": {
				`[{"op":"remove","path":"/metadata/finalizers"}]`, nil,
			},
			"an owner reference blocks no more": {
				`[{"op":"add","path":"/metadata/ownerReferences/0/blockOwnerDeletion","value":false}]`, nil,
			},
			"owner references are removed": {
				`[{"op":"remove","path":"/metadata/ownerReferences"}]`, nil,
			},
			"an annotation is changed with them": {
				`[{"op":"remove","path":"/metadata/finalizers"},{"op":"replace","path":"/metadata/annotations/example.com~1note","value":"x"}]`,
				[]string{`metadata.annotations["example.com/note"]`},
			},
			"the spec is changed with them": {
				`[{"op":"remove","path":"/metadata/ownerReferences"},{"op":"replace","path":"/spec/suspend","value":true}]`,
				[]string{`spec.suspend`},
			},
		} {
			t.Run(identity+": "+name, func(t *testing.T) {
				t.Parallel()
				namespace := newNamespace()
				shared.admin.apply(t, namespace, newJob(t))
				was := shared.read(t, jobKey(namespace, "pi"))
				r := u.patch(t, jobPath(namespace, "pi"), jsonPatch, row.patch).result(t)
				is := shared.read(t, jobKey(namespace, "pi"))
				if row.paths != nil {
					r.expectRefusedWith(t, message, row.paths)
					is.mustEqual(t, was)
				} else if r.code != http.StatusOK || is.revision == was.revision {
					t.Errorf("the answer is %d %s, at revision %d, before %d", r.code, r.status.Message, is.revision, was.revision)
				}
			})
		}
	}
}

func TestDeletionWithoutDependentsIsImmediate(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"propagationPolicy=Background", "gracePeriodSeconds=0&propagationPolicy=Background"} {
		namespace := newNamespace()
		shared.admin.create(t, namespace, newJob(t, withoutFinalizer))
		was := shared.read(t, jobKey(namespace, "pi"))
		shared.admin.delete(t, jobPath(namespace, "pi"), query+"&dryRun=All").expect(t, http.StatusOK)
		shared.read(t, jobKey(namespace, "pi")).mustEqual(t, was)
		shared.admin.delete(t, jobPath(namespace, "pi"), query).expect(t, http.StatusOK)
		if shared.read(t, jobKey(namespace, "pi")).value != nil {
			t.Errorf("%s: the Job is still there", query)
		}
	}
}

// Old clients that name no policy rely on this: their Jobs' pods are kept.
func TestDeletionWithoutAPolicyOrphans(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t, withoutFinalizer))
	before := shared.read(t, jobKey(namespace, "pi"))
	a := shared.admin.delete(t, jobPath(namespace, "pi"), "").expect(t, http.StatusOK)
	shared.read(t, jobKey(namespace, "pi")).mustBeDeleted(t, before, "orphan")
	want := "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
	if diff := cmp.Diff([]string{want}, a.warnings(t)); diff != "" {
		t.Errorf("the warnings are not the wanted ones (-want +got):\n%s", diff)
	}
}

func TestDeleteCollectionDeletesWhatItSelects(t *testing.T) {
	t.Parallel()
	for policy, finalizer := range map[string]string{"Background": "", "Foreground": "foregroundDeletion", "Orphan": "orphan"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			before := map[string]stored{}
			for name, team := range map[string]string{"one": "blue", "two": "green", "three": "blue"} {
				shared.admin.create(t, namespace, newJob(t, withoutFinalizer, func(job *batchv1.Job) {
					job.Name = name
					job.Labels = map[string]string{"team": team}
				}))
				before[name] = shared.read(t, jobKey(namespace, name))
			}
			query := "labelSelector=team%3Dblue&propagationPolicy=" + policy
			shared.admin.delete(t, jobsPath(namespace), query+"&dryRun=All").expect(t, http.StatusOK)
			for name, was := range before {
				shared.read(t, jobKey(namespace, name)).mustEqual(t, was)
			}
			shared.admin.delete(t, jobsPath(namespace), query).expect(t, http.StatusOK)
			for name, was := range before {
				is := shared.read(t, jobKey(namespace, name))
				switch {
				case name == "two":
					is.mustEqual(t, was)
				case finalizer != "":
					is.mustBeDeleted(t, was, finalizer)
				case is.value != nil:
					t.Errorf("Job %s is still there: %v", name, is.object(t))
				}
			}
		})
	}
}

// mustBeDeleted fails the test unless the Job was marked as deleted since before was read, is
// kept by the finalizer alone, and has all else as it was.
func (s stored) mustBeDeleted(t *testing.T, before stored, finalizer string) {
	t.Helper()
	is, want := s.job(t), before.job(t)
	if is.DeletionTimestamp == nil {
		t.Fatalf("the Job %s has no deletionTimestamp", is.Name)
	}
	want.DeletionTimestamp = is.DeletionTimestamp
	want.DeletionGracePeriodSeconds = ptr.To[int64](0)
	want.Generation++
	want.Finalizers = []string{finalizer}
	if !bytes.Equal(asKubeAPIServerStores(t, want), s.value) {
		t.Errorf("the stored bytes are not those of the deleted Job (-want +got):\n%s", cmp.Diff(want, is))
	}
}

// A Job under deletion is still a Job: what may be updated may be updated, and nothing brings
// it back.
func TestAJobUnderDeletionIsGatedAsBefore(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.apply(t, namespace, newJob(t))
	shared.admin.delete(t, jobPath(namespace, "pi"), "propagationPolicy=Background").expect(t, http.StatusOK)
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"labels":{"team":"green"}},"spec":{"parallelism":0}}`).expect(t, http.StatusOK)
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"deletionTimestamp":null,"deletionGracePeriodSeconds":null}}`).expect(t, http.StatusOK)
	was := shared.read(t, jobKey(namespace, "pi"))
	if job := was.job(t); job.DeletionTimestamp == nil || job.Labels["team"] != "green" || *job.Spec.Parallelism != 0 {
		t.Errorf("the Job is not the wanted one: %v", job)
	}
	shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, `{"metadata":{"finalizers":null}}`).
		result(t).expectRefused(t, []string{`metadata.finalizers["example.com/hold"]`})
	shared.read(t, jobKey(namespace, "pi")).mustEqual(t, was)
}
