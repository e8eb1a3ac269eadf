// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serverField is a value for a field that identifies a Job, is a precondition of an update, or is
// set by the server.
type serverField struct {
	field string
	value func(*batchv1.Job) any

	// code and reason of the expected response; if empty, 200. If message is empty, any message is
	// expected. warning is the only expected warning; if empty, none is expected.
	code             int
	reason           metav1.StatusReason
	message, warning string
	// claimed is set if upstream records the field's manager although the value is ignored.
	claimed bool
	// applied is the expected code of an apply; if 0, code.
	applied int
}

var serverFields = map[string]serverField{
	"same name": {
		field: "metadata.name", value: func(job *batchv1.Job) any { return job.Name },
	},
	"another name": {
		field: "metadata.name", value: func(*batchv1.Job) any { return "tau" },
		code: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest,
		message: "the name of the object (tau) does not match the name on the URL (pi)",
	},
	"same namespace": {
		field: "metadata.namespace", value: func(job *batchv1.Job) any { return job.Namespace },
	},
	"another namespace": {
		field: "metadata.namespace", value: func(*batchv1.Job) any { return "elsewhere" },
		code: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest,
		message: "the namespace of the provided object does not match the namespace sent on the request",
	},
	"same resource version": {
		field: "metadata.resourceVersion", value: func(job *batchv1.Job) any { return job.ResourceVersion },
	},
	"another resource version": {
		field: "metadata.resourceVersion", value: func(*batchv1.Job) any { return "1" },
		code: http.StatusConflict, reason: metav1.StatusReasonConflict,
		message: `Operation cannot be fulfilled on jobs.batch "pi": the object has been modified; please apply your changes to the latest version and try again`,
	},
	"same UID": {
		field: "metadata.uid", value: func(job *batchv1.Job) any { return string(job.UID) },
	},
	"another UID": {
		field: "metadata.uid", value: func(*batchv1.Job) any { return "another" },
		code: http.StatusConflict, reason: metav1.StatusReasonConflict,
	},
	"same creation time": {
		field: "metadata.creationTimestamp", value: func(job *batchv1.Job) any { return job.CreationTimestamp.ToUnstructured() },
	},
	"another creation time": {
		field: "metadata.creationTimestamp", value: func(*batchv1.Job) any { return "2001-02-03T04:05:06Z" },
		warning: "metadata.creationTimestamp: ignored: it is set by the server",
	},
	"same self link": {
		field: "metadata.selfLink", value: func(job *batchv1.Job) any { return job.SelfLink },
	},
	"another self link": {
		field: "metadata.selfLink", value: func(*batchv1.Job) any { return "/elsewhere" },
		warning: "metadata.selfLink: ignored: it is set by the server",
	},
	"another generation": {
		field: "metadata.generation", value: func(*batchv1.Job) any { return int64(99) },
	},
	"deletion time": {
		field: "metadata.deletionTimestamp", value: func(*batchv1.Job) any { return "2001-02-03T04:05:06Z" },
		claimed: true,
	},
	"deletion grace period": {
		field: "metadata.deletionGracePeriodSeconds", value: func(*batchv1.Job) any { return int64(30) },
		claimed: true,
	},
	"managed fields": {
		field: "metadata.managedFields", value: func(*batchv1.Job) any { return []any{map[string]any{}} },
		claimed: true, applied: http.StatusBadRequest,
	},
	"status": {
		field: "status", value: func(*batchv1.Job) any { return map[string]any{"succeeded": int64(2), "active": int64(1)} },
		warning: "status: ignored: update it through the status subresource",
	},
	"empty status": {
		field: "status", value: func(*batchv1.Job) any { return map[string]any{} },
	},
}

func TestServerOwnedFieldsNeverChange(t *testing.T) {
	t.Parallel()
	for name, row := range serverFields {
		for _, update := range updateTypes {
			for _, subresource := range []string{"", "/status"} {
				if row.field == "status" && subresource != "" {
					continue // the status subresource is for clients
				}
				row := row
				if update.name == "apply" && subresource != "" {
					row.claimed = true // the manager is recorded once more, for the status
				}
				t.Run(name+" sent by "+update.name+" of "+resourceName(subresource), func(t *testing.T) {
					t.Parallel()
					namespace := newNamespace()
					path, key := jobPath(namespace, "pi"), jobKey(namespace, "pi")
					shared.admin.apply(t, namespace, newJob(t))
					original := shared.admin.get(t, path)
					body := update.bodySetting(t, original.body, row.field, row.value(original.job(t)))
					before := shared.read(t, key)
					for _, dryRun := range []bool{true, false} {
						resp := update.send(t, shared.admin, path+subresource, body, dryRun)
						row.expect(t, update, original, resp)
						if after := shared.read(t, key); !row.claimed || dryRun {
							after.expectUnchanged(t, before)
						} else if diff := cmp.Diff(before.job(t), after.job(t), ignoreBookkeeping); diff != "" {
							t.Errorf("stored Job changed (-before +after):\n%s", diff)
						}
					}
				})
			}
		}
	}
}

// expect fails the test unless the response is as expected.
func (row serverField) expect(t *testing.T, update updateType, original, resp *response) {
	t.Helper()
	switch {
	case row.applied != 0 && update.name == "apply":
		resp.expect(t, row.applied)
	case row.code == 0:
		var ignored cmp.Options
		if row.claimed {
			ignored = ignoreBookkeeping
		}
		if diff := cmp.Diff(original.job(t), resp.expect(t, http.StatusOK).job(t), ignored); diff != "" {
			t.Errorf("returned Job differs from stored Job (-want +got):\n%s", diff)
		}
	default:
		status := resp.expect(t, row.code).status(t)
		if status.Reason != row.reason || (row.message != "" && status.Message != row.message) {
			t.Errorf("got %s with message %q, want %s with message %q", status.Reason, status.Message, row.reason, row.message)
		}
	}
	var want []string
	if row.warning != "" {
		want = []string{row.warning}
	}
	if diff := cmp.Diff(want, resp.warnings(t)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
