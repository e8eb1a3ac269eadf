// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// recreationWarning names the page that has the policy for client-side apply.
const recreationWarning = "kubectl apply --force and Argo CD with Force=true delete and recreate a Job whose update is denied; " +
	"to allow this update, apply the policy of https://github.com/batchgate/batchgate/blob/main/docs/tasks/recipes.md#client-side-kubectl-apply"

// SelfLink returns the metadata.selfLink of a Job.
func SelfLink(namespace, name string) string {
	return "/apis/batch/v1/namespaces/" + namespace + "/jobs/" + name
}

// warnMetadataIgnored warns the client about server-owned metadata that it sent with another
// value than the stored one.
func warnMetadataIgnored(ctx context.Context, new, old *batch.Job) {
	if !new.CreationTimestamp.IsZero() && !new.CreationTimestamp.Equal(&old.CreationTimestamp) {
		warnIgnored(ctx, "metadata.creationTimestamp", "it is set by the server")
	}
	if new.SelfLink != "" && new.SelfLink != SelfLink(old.Namespace, old.Name) {
		warnIgnored(ctx, "metadata.selfLink", "it is set by the server")
	}
}

// warnStatusIgnored warns the client that an update of the Job itself does not change the
// status.
func warnStatusIgnored(ctx context.Context, new, old *batch.Job) {
	if !apiequality.Semantic.DeepEqual(new.Status, batch.JobStatus{}) && !apiequality.Semantic.DeepEqual(new.Status, old.Status) {
		warnIgnored(ctx, "status", "update it through the status subresource")
	}
}

// warnRecreation warns the client about tools that replace the Job after any 422 response, if only
// the annotation of client-side apply is denied. The user has not changed that annotation, and may
// not expect that the Job is deleted.
func warnRecreation(ctx context.Context, denied []fieldpath.Path) {
	if len(denied) == 1 && denied[0].String() == lastApplied {
		warning.AddWarning(ctx, "", recreationWarning)
	}
}

func warnIgnored(ctx context.Context, field, remedy string) {
	warning.AddWarning(ctx, "", fmt.Sprintf("%s: ignored: %s", field, remedy))
}
