package integration

import (
	"net/http"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
)

// A deletion of all Jobs whose options are wrong, or say that nothing is to happen, does nothing
// to any Job, and nothing but delete can be done with the options of one.
func TestDeleteCollectionBadOptionsDeleteNothing(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		query, body string
		code        int
	}{
		"a dry run":                            {"?dryRun=All", ``, 200},
		"a dry run by its body":                {"", `{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}`, 200},
		"a dry run of a kind that is none":     {"?dryRun=Some", ``, 422},
		"a policy that is none":                {"?propagationPolicy=Never", ``, 422},
		"two policies":                         {"", `{"propagationPolicy":"Orphan","orphanDependents":true}`, 422},
		"a UID that no Job has":                {"", `{"preconditions":{"uid":"another"}}`, 409},
		"a resource version that no Job has":   {"", `{"preconditions":{"resourceVersion":"1"}}`, 409},
		"a selector that selects none":         {"?labelSelector=team%3Dgreen", ``, 200},
		"a selector that is none":              {"?labelSelector=%3D%3D", ``, 400},
		"a field that cannot be selected":      {"?fieldSelector=spec.parallelism%3D1", ``, 400},
		"a resource version that is none":      {"?resourceVersion=x&resourceVersionMatch=Exact", ``, 400},
		"a token to go on with that is none":   {"?continue=x", ``, 400},
		"a body that is no JSON":               {"", `{`, 400},
		"a body of another kind":               {"", `{"kind":"Job","apiVersion":"batch/v1"}`, 400},
		"a body of options for something else": {"", `{"kind":"PatchOptions","apiVersion":"meta.k8s.io/v1","force":true}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			shared.admin.create(t, namespace, newJob(t))
			before := shared.read(t, jobKey(namespace, "pi"))
			r := request{method: http.MethodDelete, path: jobsPath(namespace) + row.query}
			if row.body != "" {
				r.body = []byte(row.body)
			}
			shared.admin.do(t, r).expect(t, row.code)
			shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
		})
	}
}

func TestDeleteCollectionHonorsSelector(t *testing.T) {
	t.Parallel()
	for policy, finalizer := range map[string]string{"Background": "", "Foreground": "foregroundDeletion", "Orphan": "orphan"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			originals := map[string]stored{}
			for name, team := range map[string]string{"one": "blue", "two": "green", "three": "blue"} {
				shared.admin.create(t, namespace, newJob(t, withoutFinalizers, func(job *batchv1.Job) {
					job.Name = name
					job.Labels = map[string]string{"team": team}
				}))
				originals[name] = shared.read(t, jobKey(namespace, name))
			}
			query := "labelSelector=team%3Dblue&propagationPolicy=" + policy
			shared.admin.delete(t, jobsPath(namespace), query+"&dryRun=All").expect(t, http.StatusOK)
			for name, before := range originals {
				shared.read(t, jobKey(namespace, name)).expectUnchanged(t, before)
			}
			shared.admin.delete(t, jobsPath(namespace), query).expect(t, http.StatusOK)
			for name, before := range originals {
				after := shared.read(t, jobKey(namespace, name))
				switch {
				case name == "two":
					after.expectUnchanged(t, before)
				case finalizer != "":
					after.expectMarkedDeleted(t, before, finalizer)
				case after.value != nil:
					t.Errorf("Job %s is still there: %v", name, after.object(t))
				}
			}
		})
	}
}
