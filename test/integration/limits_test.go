package integration

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apiserver/options"
)

// startStalledPatch begins a merge patch and returns once the server waits for its body, which end lets
// it have. The answer is sent to the channel, which is closed in any case.
func (u *user) startStalledPatch(t *testing.T, path, query string) (answers <-chan *response, end func(body string)) {
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
	transport.ExpectContinueTimeout = waitTimeout
	t.Cleanup(transport.CloseIdleConnections)
	done := make(chan *response, 1)
	go func() {
		defer close(done)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		content, _ := io.ReadAll(resp.Body)
		done <- &response{code: resp.StatusCode, header: resp.Header, body: content}
	}()
	wait, cancel := context.WithTimeout(t.Context(), waitTimeout)
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

func TestRequestOverLimitGetsRetryAfter(t *testing.T) {
	t.Parallel()
	s := newServer(t, setup{options: func(o *options.Options) { o.ServerRun.MaxMutatingRequestsInFlight = 1 }})
	nobody, err := s.newUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	s.admin.create(t, "default", newJob(t))
	path := jobPath("default", "pi")
	answers, end := s.admin.startStalledPatch(t, path, "")

	// Upstream lets system:masters through, and answers in plain text.
	beyond := nobody.patch(t, path, mergePatch, `{}`).expect(t, http.StatusTooManyRequests)
	if beyond.header.Get("Retry-After") == "" {
		t.Error("the answer has no Retry-After")
	}
	nobody.do(t, request{method: http.MethodGet, path: path}).expect(t, http.StatusForbidden)

	end(`{"spec":{"parallelism":2}}`)
	if resp := <-answers; resp == nil || resp.code != http.StatusOK {
		t.Fatalf("the stalled patch is answered with %v", resp)
	}
	nobody.patch(t, path, mergePatch, `{}`).expect(t, http.StatusForbidden)
}

func TestSlowRequestTimesOut(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	before := shared.read(t, jobKey(namespace, "pi"))
	answers, _ := shared.admin.startStalledPatch(t, jobPath(namespace, "pi"), "?timeout=1s")
	resp := <-answers
	if resp == nil {
		t.Fatal("there is no answer")
	}
	var status metav1.Status // without its kind: upstream leaves that out here
	resp.expect(t, http.StatusGatewayTimeout).decode(t, &status)
	if status.Status != metav1.StatusFailure || status.Reason != metav1.StatusReasonTimeout || status.Code != http.StatusGatewayTimeout {
		t.Errorf("the answer is %s, %d: %s", status.Reason, status.Code, status.Message)
	}
	shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
}
