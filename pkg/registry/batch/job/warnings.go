package job

import (
	"context"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// SelfLink returns the path of a Job in the API, as its metadata.selfLink states it.
func SelfLink(namespace, name string) string {
	return "/apis/batch/v1/namespaces/" + namespace + "/jobs/" + name
}

// warnMetadataIgnored tells the client which server-owned metadata it sent with a value
// that is not the server's. A field that was not sent is not worth a word.
func warnMetadataIgnored(ctx context.Context, new, old *batch.Job) {
	if !new.CreationTimestamp.IsZero() && !new.CreationTimestamp.Equal(&old.CreationTimestamp) {
		warnIgnored(ctx, "metadata.creationTimestamp", "it is set by the server")
	}
	if new.SelfLink != "" && new.SelfLink != SelfLink(old.Namespace, old.Name) {
		warnIgnored(ctx, "metadata.selfLink", "it is set by the server")
	}
}

// warnStatusIgnored tells the client of the main resource that a status it sent has no
// effect.
func warnStatusIgnored(ctx context.Context, new, old *batch.Job) {
	if !apiequality.Semantic.DeepEqual(new.Status, batch.JobStatus{}) && !apiequality.Semantic.DeepEqual(new.Status, old.Status) {
		warnIgnored(ctx, "status", "update it through the status subresource")
	}
}

func warnIgnored(ctx context.Context, field, remedy string) {
	warning.AddWarning(ctx, "", fmt.Sprintf("%s: ignored: %s", field, remedy))
}
