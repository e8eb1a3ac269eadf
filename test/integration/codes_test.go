package integration

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apiserver/options"
	"github.com/batchgate/batchgate/pkg/pki"
)

// 500 and 503 are missing from this file on purpose: no request causes them. 503 is what an
// aggregator answers while this server is down.
func TestEveryErrorIsAStatusWithItsCode(t *testing.T) {
	t.Parallel()
	unknownCA, err := pki.LoadOrCreate(filepath.Join(t.TempDir(), "ca.crt"), filepath.Join(t.TempDir(), "ca.key"), "unknown")
	if err != nil {
		t.Fatal(err)
	}
	forged, err := clientCertificate(unknownCA, "admin", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := shared.newUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	anonymous, forger := shared.newUserWith(nil), shared.newUserWith(forged)

	namespace := newNamespace()
	job := shared.admin.create(t, namespace, newJob(t))
	job.ResourceVersion = "1"
	stale := encode(t, job)
	path := jobPath(namespace, "pi")
	was := shared.read(t, jobKey(namespace, "pi"))
	for name, row := range map[string]struct {
		user    *user // the admin where it is nil
		request request
		code    int
		reason  metav1.StatusReason
		message string
	}{
		"a certificate of an unknown CA": {
			user: forger, request: request{method: "GET", path: path},
			code: 401, reason: metav1.StatusReasonUnauthorized, message: "Unauthorized",
		},
		"no certificate": {
			user: anonymous, request: request{method: "GET", path: path},
			code: 403, reason: metav1.StatusReasonForbidden,
			message: `jobs.batch "pi" is forbidden: User "system:anonymous" cannot get resource "jobs" in API group "batch" in the namespace "` + namespace + `"`,
		},
		"a user without rights reads": {
			user: nobody, request: request{method: "GET", path: jobsPath(namespace)},
			code: 403, reason: metav1.StatusReasonForbidden,
			message: `jobs.batch is forbidden: User "nobody" cannot list resource "jobs" in API group "batch" in the namespace "` + namespace + `"`,
		},
		"a user without rights patches": {
			user: nobody, request: request{method: "PATCH", path: path, contentType: mergePatch, body: []byte(`{"spec":{"parallelism":2}}`)},
			code: 403, reason: metav1.StatusReasonForbidden,
			message: `jobs.batch "pi" is forbidden: User "nobody" cannot patch resource "jobs" in API group "batch" in the namespace "` + namespace + `"`,
		},
		"a user without rights patches the status": {
			user: nobody, request: request{method: "PATCH", path: path + "/status", contentType: mergePatch, body: []byte(`{"status":{"active":1}}`)},
			code: 403, reason: metav1.StatusReasonForbidden,
			message: `jobs.batch "pi" is forbidden: User "nobody" cannot patch resource "jobs/status" in API group "batch" in the namespace "` + namespace + `"`,
		},
		"a body that is no JSON": {
			request: request{method: "PATCH", path: path, contentType: mergePatch, body: []byte(`{"spec":`)},
			code:    400, reason: metav1.StatusReasonBadRequest,
		},
		"a value of the wrong type": {
			request: request{method: "POST", path: jobsPath(namespace), body: []byte(`{"apiVersion":"batch/v1","kind":"Job","spec":{"parallelism":"many"}}`)},
			code:    400, reason: metav1.StatusReasonBadRequest,
		},
		"a body of another kind": {
			request: request{method: "PUT", path: path, body: []byte(`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"pi"}}`)},
			code:    400, reason: metav1.StatusReasonBadRequest,
		},
		"an option that there is not": {
			request: request{method: "PATCH", path: path, query: url.Values{"dryRun": {"Some"}}, contentType: mergePatch, body: []byte(`{}`)},
			code:    422, reason: metav1.StatusReasonInvalid,
		},
		"a Job that is not there": {
			request: request{method: "PATCH", path: jobPath(namespace, "tau"), contentType: mergePatch, body: []byte(`{}`)},
			code:    404, reason: metav1.StatusReasonNotFound, message: `jobs.batch "tau" not found`,
		},
		"a Job that is not there, by PUT": {
			request: request{method: "PUT", path: jobPath(namespace, "tau"), body: encode(t, newJob(t, named("tau")))},
			code:    404, reason: metav1.StatusReasonNotFound, message: `jobs.batch "tau" not found`,
		},
		"a resource that there is not": {
			request: request{method: "GET", path: "/apis/batch/v1/namespaces/x/tasks"},
			code:    404, reason: metav1.StatusReasonNotFound, message: "the server could not find the requested resource",
		},
		"a subresource that there is not": {
			request: request{method: "GET", path: path + "/scale"},
			code:    404, reason: metav1.StatusReasonNotFound, message: "the server could not find the requested resource",
		},
		"a collection is patched": {
			request: request{method: "PATCH", path: jobsPath(namespace), contentType: mergePatch, body: []byte(`{}`)},
			code:    405, reason: metav1.StatusReasonMethodNotAllowed, message: "the server does not allow this method on the requested resource",
		},
		"a status is deleted": {
			request: request{method: "DELETE", path: path + "/status"},
			code:    405, reason: metav1.StatusReasonMethodNotAllowed, message: "the server does not allow this method on the requested resource",
		},
		"an answer in a format that there is not": {
			request: request{method: "GET", path: path, accept: "application/xml"},
			code:    406, reason: metav1.StatusReasonNotAcceptable,
		},
		"a Job that is there already": {
			request: request{method: "POST", path: jobsPath(namespace), body: encode(t, newJob(t))},
			code:    409, reason: metav1.StatusReasonAlreadyExists, message: `jobs.batch "pi" already exists`,
		},
		"an update of a Job as it once was": {
			request: request{method: "PUT", path: path, body: stale},
			code:    409, reason: metav1.StatusReasonConflict,
			message: `Operation cannot be fulfilled on jobs.batch "pi": the object has been modified; please apply your changes to the latest version and try again`,
		},
		"an apply of another manager's fields": {
			request: request{
				method: "PATCH", path: path, query: url.Values{"fieldManager": {"other"}}, contentType: applyPatch,
				body: []byte(`{"apiVersion":"batch/v1","kind":"Job","spec":{"parallelism":9}}`),
			},
			code: 409, reason: metav1.StatusReasonConflict,
		},
		"a body that is too long": {
			request: request{method: "PATCH", path: path, contentType: mergePatch, body: []byte(`{"a":"` + strings.Repeat("x", 4<<20) + `"}`)},
			code:    413, reason: metav1.StatusReasonRequestEntityTooLarge,
		},
		"a JSON Patch of too many operations": {
			request: request{
				method: "PATCH", path: path, contentType: jsonPatch,
				body: []byte(`[` + strings.Repeat(`{"op":"test","path":"/kind","value":"Job"},`, 10000) + `{}]`),
			},
			code: 413, reason: metav1.StatusReasonRequestEntityTooLarge,
			message: "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
		},
		"a patch of a kind that there is not": {
			request: request{method: "PATCH", path: path, contentType: "application/json", body: []byte(`{}`)},
			code:    415, reason: metav1.StatusReasonUnsupportedMediaType,
		},
		"a body in a format that there is not": {
			request: request{method: "POST", path: jobsPath(namespace), contentType: "application/xml", body: []byte(`<job/>`)},
			code:    415, reason: metav1.StatusReasonUnsupportedMediaType,
		},
		"a JSON Patch whose test fails": {
			request: request{method: "PATCH", path: path, contentType: jsonPatch, body: []byte(`[{"op":"test","path":"/spec/parallelism","value":9}]`)},
			code:    422, reason: metav1.StatusReasonInvalid,
		},
		"an invalid Job": {
			request: request{method: "POST", path: jobsPath(namespace), body: []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"x"},"spec":{"template":{}}}`)},
			code:    422, reason: metav1.StatusReasonInvalid,
		},
		"a field that may not be updated": {
			request: request{method: "PATCH", path: path, contentType: mergePatch, body: []byte(`{"spec":{"suspend":true}}`)},
			code:    422, reason: metav1.StatusReasonInvalid, message: `Job.batch "pi" is invalid: spec.suspend: Forbidden: ` + mayNot,
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := row.user
			if u == nil {
				u = shared.admin
			}
			status := u.do(t, row.request).expect(t, row.code).status(t)
			want := &metav1.Status{
				TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
				Status:   metav1.StatusFailure, Code: int32(row.code), Reason: row.reason, Message: row.message,
			}
			if row.message == "" {
				if status.Message == "" {
					t.Error("the answer says nothing")
				}
				t.Log(status.Message)
				want.Message = status.Message
			}
			want.Details = status.Details
			if diff := cmp.Diff(want, status); diff != "" {
				t.Errorf("the answer is not the wanted one (-want +got):\n%s", diff)
			}
			shared.read(t, jobKey(namespace, "pi")).mustEqual(t, was)
		})
	}
}

// stall begins a merge patch and returns once the server waits for its body, which end lets
// it have. The answer is sent to the channel, which is closed in any case.
func (u *user) stall(t *testing.T, path, query string) (answers <-chan *answer, end func(body string)) {
	t.Helper()
	waits := make(chan struct{})
	// The server asks for the body when it first reads it: past authentication and the
	// limits, in the handler of the patch.
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(waits) }})
	body, feed := io.Pipe()
	t.Cleanup(func() { feed.Close() })
	r := request{method: http.MethodPatch, path: path + query, contentType: mergePatch, header: http.Header{"Expect": {"100-continue"}}}
	req, err := r.build(ctx, u.server.url, body)
	if err != nil {
		t.Fatal(err)
	}
	transport := u.http.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.NextProtos = nil
	transport.Protocols = &http.Protocols{}
	transport.Protocols.SetHTTP1(true)
	transport.ExpectContinueTimeout = patience
	t.Cleanup(transport.CloseIdleConnections)
	done := make(chan *answer, 1)
	go func() {
		defer close(done)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		content, _ := io.ReadAll(resp.Body)
		done <- &answer{code: resp.StatusCode, header: resp.Header, body: content}
	}()
	wait, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-waits:
	case <-wait.Done():
		t.Fatal("the server does not ask for the body")
	}
	return done, func(body string) {
		if _, err := io.WriteString(feed, body); err != nil {
			t.Errorf("sending the stalled body: %v", err)
		}
		feed.Close()
	}
}

func TestARequestBeyondTheLimitIsToldToComeBack(t *testing.T) {
	t.Parallel()
	s := newServer(t, setup{options: func(o *options.Options) { o.ServerRun.MaxMutatingRequestsInFlight = 1 }})
	nobody, err := s.newUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	s.admin.create(t, "default", newJob(t))
	path := jobPath("default", "pi")
	answers, end := s.admin.stall(t, path, "")

	// Upstream lets system:masters through, and answers in plain text.
	beyond := nobody.patch(t, path, mergePatch, `{}`).expect(t, http.StatusTooManyRequests)
	if beyond.header.Get("Retry-After") == "" {
		t.Error("the answer has no Retry-After")
	}
	nobody.do(t, request{method: http.MethodGet, path: path}).expect(t, http.StatusForbidden)

	end(`{"spec":{"parallelism":2}}`)
	if a := <-answers; a == nil || a.code != http.StatusOK {
		t.Fatalf("the stalled patch is answered with %v", a)
	}
	nobody.patch(t, path, mergePatch, `{}`).expect(t, http.StatusForbidden)
}

func TestARequestThatTakesTooLongIsAnswered(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	was := shared.read(t, jobKey(namespace, "pi"))
	answers, _ := shared.admin.stall(t, jobPath(namespace, "pi"), "?timeout=1s")
	a := <-answers
	if a == nil {
		t.Fatal("there is no answer")
	}
	var status metav1.Status // without its kind: upstream leaves that out here
	a.expect(t, http.StatusGatewayTimeout).decode(t, &status)
	if status.Status != metav1.StatusFailure || status.Reason != metav1.StatusReasonTimeout || status.Code != http.StatusGatewayTimeout {
		t.Errorf("the answer is %s, %d: %s", status.Reason, status.Code, status.Message)
	}
	shared.read(t, jobKey(namespace, "pi")).mustEqual(t, was)
}
