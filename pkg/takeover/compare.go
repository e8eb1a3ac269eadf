package takeover

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// pageSize bounds what is read of Jobs at once.
const pageSize = 500

// checkDiscovery compares the paths that both servers have for batch/v1. One more or one less
// would break the aggregator's merge of OpenAPI.
func (t *Takeover) checkDiscovery(ctx context.Context) (string, error) {
	direct, err := t.connect(ctx)
	if err != nil {
		return "", err
	}
	var resources, paths [2][]string
	for i, client := range []kubernetes.Interface{t.Cluster.Kube, direct} {
		list, err := client.Discovery().ServerResourcesForGroupVersion(batchv1.SchemeGroupVersion.String())
		if err != nil {
			return "", fmt.Errorf("reading discovery: %w", err)
		}
		for _, r := range list.APIResources {
			resources[i] = append(resources[i], fmt.Sprintf("%s %v", r.Name, r.Verbs))
		}
		if paths[i], err = openAPIPaths(ctx, client); err != nil {
			return "", err
		}
	}
	if diff := difference(resources[0], resources[1]); diff != "" {
		return "", fmt.Errorf("the server has other resources than the cluster: %s: install the server of the cluster's version", diff)
	}
	if diff := difference(paths[0], paths[1]); diff != "" {
		return "", fmt.Errorf("the server's OpenAPI has other paths than the cluster's: %s: install the server of the cluster's version", diff)
	}
	return fmt.Sprintf("the same %d resources and %d paths", len(resources[0]), len(paths[0])), nil
}

// openAPIPaths returns the paths of batch/v1 in a server's OpenAPI.
func openAPIPaths(ctx context.Context, client kubernetes.Interface) ([]string, error) {
	content, err := client.Discovery().RESTClient().Get().AbsPath("/openapi/v2").SetHeader("Accept", "application/json").Do(ctx).Raw()
	if err != nil {
		return nil, fmt.Errorf("reading OpenAPI: %w", err)
	}
	var document struct {
		Paths map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("reading OpenAPI: %w", err)
	}
	maps.DeleteFunc(document.Paths, func(path string, _ json.RawMessage) bool { return !strings.HasPrefix(path, "/apis/batch/") })
	return slices.Sorted(maps.Keys(document.Paths)), nil
}

// checkObjects compares the Jobs and CronJobs that the cluster and the server have, when it is
// asked directly, at one moment: servers of one etcd agree about its revisions.
func (t *Takeover) checkObjects(ctx context.Context) (string, error) {
	direct, err := t.connect(ctx)
	if err != nil {
		return "", err
	}
	if err := t.checkRevision(ctx, direct); err != nil {
		return "", err
	}
	total := 0
	for _, resource := range resources {
		theirs, revision, err := objects(ctx, t.Cluster.Kube, resource, "")
		if err != nil {
			return "", err
		}
		ours, _, err := objects(ctx, direct, resource, revision)
		if err != nil {
			return "", fmt.Errorf("%w: the server must use the etcd that the cluster keeps Jobs in", err)
		}
		if diff := difference(theirs, ours); diff != "" {
			return "", fmt.Errorf("the server has other %s than the cluster: %s: it must use the cluster's etcd and prefix", resource, diff)
		}
		total += len(ours)
	}
	return fmt.Sprintf("the same %d Jobs and CronJobs", total), nil
}

// checkRevision compares how far the etcds of both are: that tells those apart that have no Jobs.
func (t *Takeover) checkRevision(ctx context.Context, direct *Direct) error {
	var revisions [3]int64
	for i, client := range []kubernetes.Interface{t.Cluster.Kube, direct, t.Cluster.Kube} {
		list, err := client.BatchV1().Jobs(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return fmt.Errorf("listing jobs: %w", err)
		}
		if revisions[i], err = strconv.ParseInt(list.ResourceVersion, 10, 64); err != nil {
			return fmt.Errorf("reading the revision: %w", err)
		}
	}
	if revisions[1] < revisions[0] || revisions[1] > revisions[2] {
		return fmt.Errorf("the server's etcd is at revision %d, and the cluster's at %d: the server must use the etcd that the cluster keeps Jobs in", revisions[1], revisions[2])
	}
	return nil
}

// objects returns the objects of a resource with their UIDs and versions, at a revision, or
// with the one that they are at.
func objects(ctx context.Context, client kubernetes.Interface, resource, revision string) ([]string, string, error) {
	var found []string
	for token := ""; ; {
		request := client.BatchV1().RESTClient().Get().Resource(resource).
			Param("limit", fmt.Sprint(pageSize)).
			SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
		switch {
		case token != "":
			request = request.Param("continue", token)
		case revision != "":
			request = request.Param("resourceVersion", revision).Param("resourceVersionMatch", string(metav1.ResourceVersionMatchExact))
		}
		var list metav1.PartialObjectMetadataList
		if err := request.Do(ctx).Into(&list); err != nil {
			return nil, "", fmt.Errorf("listing %s: %w", resource, err)
		}
		for _, item := range list.Items {
			found = append(found, fmt.Sprintf("%s %s/%s %s %s", resource, item.Namespace, item.Name, item.UID, item.ResourceVersion))
		}
		if token = list.Continue; token == "" {
			return found, list.ResourceVersion, nil
		}
	}
}

// difference names what is in one of two sorted lists only, at most three of each; it returns
// nothing where there is nothing.
func difference(theirs, ours []string) string {
	only := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(s string) bool { _, found := slices.BinarySearch(b, s); return found })
	}
	slices.Sort(theirs)
	slices.Sort(ours)
	var parts []string
	for name, list := range map[string][]string{"missing": only(theirs, ours), "more": only(ours, theirs)} {
		if len(list) > 0 {
			parts = append(parts, fmt.Sprintf("%d %s (%s)", len(list), name, strings.Join(list[:min(3, len(list))], "; ")))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// canary returns a Job that is never stored.
func canary() *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, GenerateName: "batchgate-canary-"},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "canary", Image: "canary"}},
		}}},
	}
}
