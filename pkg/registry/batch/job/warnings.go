// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/apis/batch"
)

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

func warnIgnored(ctx context.Context, field, remedy string) {
	warning.AddWarning(ctx, "", fmt.Sprintf("%s: ignored: %s", field, remedy))
}
