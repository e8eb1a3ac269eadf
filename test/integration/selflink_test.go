package integration

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/pkg/apiserver/options"
)

// The single answers of a Job's life, by what they answer.
func singleJobResponses(t *testing.T, u *user, namespace string) map[string]*response {
	t.Helper()
	path := jobPath(namespace, "pi")
	answers := map[string]*response{}
	answers["create"] = u.do(t, request{method: http.MethodPost, path: jobsPath(namespace), body: encode(t, newJob(t))}).expect(t, http.StatusCreated)
	answers["get"] = u.get(t, path)
	answers["get of the status"] = u.get(t, path+"/status")
	for _, update := range updateTypes {
		original := u.get(t, path).body
		for _, subresource := range []string{"", "/status"} {
			for _, dryRun := range []bool{true, false} {
				what := update.name + subresource
				if dryRun {
					what += ", dry run"
				}
				body := update.bodyFor(t, `[{"op":"replace","path":"/metadata/labels/team","value":"green"}]`, original)
				if update.method == http.MethodPut {
					body = update.bodyFor(t, `[{"op":"remove","path":"/metadata/resourceVersion"}]`, original)
				}
				answers[what] = update.send(t, u, path+subresource, body, dryRun).expect(t, http.StatusOK)
			}
		}
	}
	answers["delete that waits for a finalizer"] = u.delete(t, path, "propagationPolicy=Background").expect(t, http.StatusOK)
	answers["get of a Job under deletion"] = u.get(t, path)
	return answers
}

func TestSelfLinkOnlyInSingleJobResponses(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	for what, resp := range singleJobResponses(t, shared.admin, namespace) {
		if got, want := resp.job(t).SelfLink, jobPath(namespace, "pi"); got != want {
			t.Errorf("%s: the selfLink is %q, want %q", what, got, want)
		}
	}
	for what, resp := range map[string]*response{
		"list":        shared.admin.get(t, jobsPath(namespace)),
		"list of all": shared.admin.get(t, "/apis/batch/v1/jobs"),
		"table":       shared.admin.do(t, request{method: http.MethodGet, path: jobsPath(namespace), accept: tableMediaType}).expect(t, http.StatusOK),
		"watch": shared.admin.do(t, request{method: http.MethodGet, path: jobsPath(namespace), query: map[string][]string{
			"watch": {"true"}, "timeoutSeconds": {"1"},
		}}).expect(t, http.StatusOK),
	} {
		if !strings.Contains(string(resp.body), `"pi"`) {
			t.Errorf("%s: the answer is not about the Job: %s", what, resp.body)
		}
		if strings.Contains(string(resp.body), "selfLink") {
			t.Errorf("%s: the answer has a selfLink: %s", what, resp.body)
		}
	}
	collection := shared.admin.delete(t, jobsPath(namespace), "propagationPolicy=Background").expect(t, http.StatusOK)
	if strings.Contains(string(collection.body), "selfLink") {
		t.Errorf("a deletecollection is answered with a selfLink: %s", collection.body)
	}
	if stored := shared.read(t, jobKey(namespace, "pi")); bytes.Contains(stored.value, []byte("/apis/batch")) {
		t.Errorf("the selfLink is stored: %q", stored.value)
	}
}

func TestSelfLinkFromClientNotStored(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	job := newJob(t)
	job.SelfLink = "/elsewhere"
	if got, want := shared.admin.create(t, namespace, job).SelfLink, jobPath(namespace, "pi"); got != want {
		t.Errorf("a create is answered with the selfLink %q, want %q", got, want)
	}
	if value := shared.read(t, jobKey(namespace, "pi")).value; bytes.Contains(value, []byte("elsewhere")) {
		t.Errorf("the selfLink is stored: %q", value)
	}
}

func TestSelfLinkVisibleToJSONPatch(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	path := jobPath(namespace, "pi")
	before := shared.read(t, jobKey(namespace, "pi"))
	for name, row := range map[string]struct {
		patch    string
		code     int
		warnings int
	}{
		"test of the right one": {`[{"op":"test","path":"/metadata/selfLink","value":"` + path + `"}]`, http.StatusOK, 0},
		"test of another one":   {`[{"op":"test","path":"/metadata/selfLink","value":"/elsewhere"}]`, http.StatusUnprocessableEntity, 0},
		"replace by the same":   {`[{"op":"replace","path":"/metadata/selfLink","value":"` + path + `"}]`, http.StatusOK, 0},
		"replace by another":    {`[{"op":"replace","path":"/metadata/selfLink","value":"/elsewhere"}]`, http.StatusOK, 1},
		"remove":                {`[{"op":"remove","path":"/metadata/selfLink"}]`, http.StatusOK, 0},
	} {
		for _, subresource := range []string{"", "/status"} {
			resp := shared.admin.patch(t, path+subresource, jsonPatch, row.patch)
			if resp.code != row.code || len(resp.warnings(t)) != row.warnings {
				t.Errorf("%s%s: the answer is %d with the warnings %q: %s", name, subresource, resp.code, resp.warnings(t), resp.body)
			}
			if resp.code == http.StatusOK && resp.job(t).SelfLink != path {
				t.Errorf("%s%s: the answered selfLink is %q", name, subresource, resp.job(t).SelfLink)
			}
		}
	}
	shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
}

func TestSelfLinkDisabledByFlag(t *testing.T) {
	t.Parallel()
	s := newServer(t, setup{options: func(o *options.Options) { o.ServeSelfLink = false }})
	for what, resp := range singleJobResponses(t, s.admin, "default") {
		if link := resp.job(t).SelfLink; link != "" {
			t.Errorf("%s: the selfLink is %q", what, link)
		}
	}
}
