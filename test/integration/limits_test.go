// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// startStalledPatch starts a merge patch and returns when the server waits for its body. Call
// finish to send the body. The channel receives the response; it is closed without one if the
// request fails.
func (u *user) startStalledPatch(t *testing.T, path, query string) (responses <-chan *response, finish func(body string)) {
	t.Helper()
	waiting := make(chan struct{})
	// The server asks for the body when it first reads it: in the patch handler, after
	// authentication and the limits.
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(waiting) }})
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
	case <-waiting:
	case <-wait.Done():
		t.Fatal("server did not ask for the body")
	}
	return done, func(body string) {
		if _, err := io.WriteString(feed, body); err != nil {
			t.Errorf("sending body: %v", err)
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
	// The server's own status updates of policies must not hold the only slot: upstream would then
	// serve the stalled patch of the admin without a slot.
	policies, err := s.admin.policies(t).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range policies.Items {
		waitForPolicyReady(t, s.admin, &policies.Items[i])
	}
	s.admin.create(t, "default", newJob(t))
	path := jobPath("default", "pi")
	responses, finish := s.admin.startStalledPatch(t, path, "")

	// Upstream exempts system:masters and responds in plain text.
	overLimit := nobody.patch(t, path, mergePatch, `{}`).expect(t, http.StatusTooManyRequests)
	if overLimit.header.Get("Retry-After") == "" {
		t.Error("response has no Retry-After")
	}
	nobody.do(t, request{method: http.MethodGet, path: path}).expect(t, http.StatusForbidden)

	finish(`{"spec":{"parallelism":2}}`)
	if resp := <-responses; resp == nil || resp.code != http.StatusOK {
		t.Fatalf("stalled patch got response %v", resp)
	}
	nobody.patch(t, path, mergePatch, `{}`).expect(t, http.StatusForbidden)
}

func TestSlowRequestTimesOut(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	before := shared.read(t, jobKey(namespace, "pi"))
	responses, _ := shared.admin.startStalledPatch(t, jobPath(namespace, "pi"), "?timeout=1s")
	resp := <-responses
	if resp == nil {
		t.Fatal("no response")
	}
	var status metav1.Status // upstream leaves out its kind here
	resp.expect(t, http.StatusGatewayTimeout).decode(t, &status)
	if status.Status != metav1.StatusFailure || status.Reason != metav1.StatusReasonTimeout || status.Code != http.StatusGatewayTimeout {
		t.Errorf("got %s, code %d: %s", status.Reason, status.Code, status.Message)
	}
	shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
}
