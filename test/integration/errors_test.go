// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// 500 and 503 have no test case here. TestHostileUpdatesChangeNothingElse covers requests that get
// 500, as they do upstream, and TestPolicyUnreadableBlocksUpdates covers 503.
func TestErrorsReturnStatusWithCode(t *testing.T) {
	t.Parallel()
	nobody, err := shared.newUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	anonymous, forger := shared.newUserWithCertificate(nil), shared.newForger(t)

	namespace := newNamespace()
	job := shared.admin.create(t, namespace, newJob(t))
	job.ResourceVersion = "1"
	stale := encode(t, job)
	path := jobPath(namespace, "pi")
	before := shared.read(t, jobKey(namespace, "pi"))
	for name, row := range map[string]struct {
		user    *user // if nil, the admin
		request request
		code    int
		reason  metav1.StatusReason
		message string
	}{
		"certificate of unknown CA": {
			user: forger, request: request{method: "GET", path: path},
			code: 401, reason: metav1.StatusReasonUnauthorized, message: "Unauthorized",
		},
		"no certificate": {
			user: anonymous, request: request{method: "GET", path: path},
			code: 403, reason: metav1.StatusReasonForbidden,
			message: `jobs.batch "pi" is forbidden: User "system:anonymous" cannot get resource "jobs" in API group "batch" in the namespace "` + namespace + `"`,
		},
		"list by unauthorized user": {
			user: nobody, request: request{method: "GET", path: jobsPath(namespace)},
			code: 403, reason: metav1.StatusReasonForbidden,
			message: `jobs.batch is forbidden: User "nobody" cannot list resource "jobs" in API group "batch" in the namespace "` + namespace + `"`,
		},
		"patch by unauthorized user": {
			user: nobody, request: request{method: "PATCH", path: path, contentType: mergePatch, body: []byte(`{"spec":{"parallelism":2}}`)},
			code: 403, reason: metav1.StatusReasonForbidden,
			message: `jobs.batch "pi" is forbidden: User "nobody" cannot patch resource "jobs" in API group "batch" in the namespace "` + namespace + `"`,
		},
		"status patch by unauthorized user": {
			user: nobody, request: request{method: "PATCH", path: path + "/status", contentType: mergePatch, body: []byte(`{"status":{"active":1}}`)},
			code: 403, reason: metav1.StatusReasonForbidden,
			message: `jobs.batch "pi" is forbidden: User "nobody" cannot patch resource "jobs/status" in API group "batch" in the namespace "` + namespace + `"`,
		},
		"body not JSON": {
			request: request{method: "PATCH", path: path, contentType: mergePatch, body: []byte(`{"spec":`)},
			code:    400, reason: metav1.StatusReasonBadRequest,
		},
		"value of wrong type": {
			request: request{method: "POST", path: jobsPath(namespace), body: []byte(`{"apiVersion":"batch/v1","kind":"Job","spec":{"parallelism":"many"}}`)},
			code:    400, reason: metav1.StatusReasonBadRequest,
		},
		"body of kind CronJob": {
			request: request{method: "PUT", path: path, body: []byte(`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"pi"}}`)},
			code:    400, reason: metav1.StatusReasonBadRequest,
		},
		"invalid dryRun option": {
			request: request{method: "PATCH", path: path, query: url.Values{"dryRun": {"Some"}}, contentType: mergePatch, body: []byte(`{}`)},
			code:    422, reason: metav1.StatusReasonInvalid,
		},
		"patch of missing Job": {
			request: request{method: "PATCH", path: jobPath(namespace, "tau"), contentType: mergePatch, body: []byte(`{}`)},
			code:    404, reason: metav1.StatusReasonNotFound, message: `jobs.batch "tau" not found`,
		},
		"PUT of missing Job": {
			request: request{method: "PUT", path: jobPath(namespace, "tau"), body: encode(t, newJob(t, named("tau")))},
			code:    404, reason: metav1.StatusReasonNotFound, message: `jobs.batch "tau" not found`,
		},
		"unknown resource": {
			request: request{method: "GET", path: "/apis/batch/v1/namespaces/x/tasks"},
			code:    404, reason: metav1.StatusReasonNotFound, message: "the server could not find the requested resource",
		},
		"unknown subresource": {
			request: request{method: "GET", path: path + "/scale"},
			code:    404, reason: metav1.StatusReasonNotFound, message: "the server could not find the requested resource",
		},
		"patch of collection": {
			request: request{method: "PATCH", path: jobsPath(namespace), contentType: mergePatch, body: []byte(`{}`)},
			code:    405, reason: metav1.StatusReasonMethodNotAllowed, message: "the server does not allow this method on the requested resource",
		},
		"delete of status": {
			request: request{method: "DELETE", path: path + "/status"},
			code:    405, reason: metav1.StatusReasonMethodNotAllowed, message: "the server does not allow this method on the requested resource",
		},
		"unsupported Accept header": {
			request: request{method: "GET", path: path, accept: "application/xml"},
			code:    406, reason: metav1.StatusReasonNotAcceptable,
		},
		"create of existing Job": {
			request: request{method: "POST", path: jobsPath(namespace), body: encode(t, newJob(t))},
			code:    409, reason: metav1.StatusReasonAlreadyExists, message: `jobs.batch "pi" already exists`,
		},
		"stale resource version": {
			request: request{method: "PUT", path: path, body: stale},
			code:    409, reason: metav1.StatusReasonConflict,
			message: `Operation cannot be fulfilled on jobs.batch "pi": the object has been modified; please apply your changes to the latest version and try again`,
		},
		"apply conflict": {
			request: request{
				method: "PATCH", path: path, query: url.Values{"fieldManager": {"other"}}, contentType: applyPatch,
				body: []byte(`{"apiVersion":"batch/v1","kind":"Job","spec":{"parallelism":9}}`),
			},
			code: 409, reason: metav1.StatusReasonConflict,
		},
		"body too large": {
			request: request{method: "PATCH", path: path, contentType: mergePatch, body: []byte(`{"a":"` + strings.Repeat("x", 4<<20) + `"}`)},
			code:    413, reason: metav1.StatusReasonRequestEntityTooLarge,
		},
		"JSON Patch with too many operations": {
			request: request{
				method: "PATCH", path: path, contentType: jsonPatch,
				body: []byte(`[` + strings.Repeat(`{"op":"test","path":"/kind","value":"Job"},`, 10000) + `{}]`),
			},
			code: 413, reason: metav1.StatusReasonRequestEntityTooLarge,
			message: "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
		},
		"unsupported patch type": {
			request: request{method: "PATCH", path: path, contentType: "application/json", body: []byte(`{}`)},
			code:    415, reason: metav1.StatusReasonUnsupportedMediaType,
		},
		"unsupported body encoding": {
			request: request{method: "POST", path: jobsPath(namespace), contentType: "application/xml", body: []byte(`<job/>`)},
			code:    415, reason: metav1.StatusReasonUnsupportedMediaType,
		},
		"failed JSON Patch test": {
			request: request{method: "PATCH", path: path, contentType: jsonPatch, body: []byte(`[{"op":"test","path":"/spec/parallelism","value":9}]`)},
			code:    422, reason: metav1.StatusReasonInvalid,
		},
		"invalid Job": {
			request: request{method: "POST", path: jobsPath(namespace), body: []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"x"},"spec":{"template":{}}}`)},
			code:    422, reason: metav1.StatusReasonInvalid,
		},
		"denied field": {
			request: request{method: "PATCH", path: path, contentType: mergePatch, body: []byte(`{"spec":{"suspend":true}}`)},
			code:    422, reason: metav1.StatusReasonInvalid, message: `Job.batch "pi" is invalid: spec.suspend: Forbidden: ` + deniedMessage,
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
					t.Error("status has no message")
				}
				t.Log(status.Message)
				want.Message = status.Message
			}
			want.Details = status.Details
			if diff := cmp.Diff(want, status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
		})
	}
}
