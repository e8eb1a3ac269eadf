// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// PageSize is the maximum number of Jobs or CronJobs in one response to a list.
	PageSize = 500

	acceptMetadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// BatchResources are the resources of batch/v1.
var BatchResources = []string{"jobs", "cronjobs"}

// BatchPath returns the path of all objects of a resource of batch/v1.
func BatchPath(resource string) string { return "/apis/batch/v1/" + resource }

// CompareDiscovery fails if the servers have different resources or OpenAPI paths of batch/v1.
// The aggregator merges OpenAPI by path, so a single additional or missing path breaks it.
func CompareDiscovery(ctx context.Context, cluster, batchgate Server) (string, error) {
	var resources, paths [2][]string
	for i, s := range []Server{cluster, batchgate} {
		list, err := s.Discovery().ServerResourcesForGroupVersion(batchv1.SchemeGroupVersion.String())
		if err != nil {
			return "", fmt.Errorf("reading discovery: %w", err)
		}
		for _, r := range list.APIResources {
			resources[i] = append(resources[i], fmt.Sprintf("%s %v", r.Name, r.Verbs))
		}
		if paths[i], err = openAPIPaths(ctx, s); err != nil {
			return "", err
		}
	}
	if diff := Difference(resources[0], resources[1]); diff != "" {
		return "", fmt.Errorf("the server's resources differ from the cluster's: %s: set the server's --emulated-version to kube-apiserver's version, or install a release for that version", diff)
	}
	if diff := Difference(paths[0], paths[1]); diff != "" {
		return "", fmt.Errorf("the server's OpenAPI paths differ from the cluster's: %s: set the server's --emulated-version to kube-apiserver's version, or install a release for that version", diff)
	}
	return fmt.Sprintf("the same %d resources and %d paths", len(resources[0]), len(paths[0])), nil
}

func openAPIPaths(ctx context.Context, s Server) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	content, err := s.Read(ctx, "/openapi/v2", ReadOptions{Accept: "application/json"})
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

// CompareObjects fails if the servers have different Jobs and CronJobs at the same revision.
// Servers that use one etcd agree about its revisions.
func CompareObjects(ctx context.Context, cluster, batchgate Server) (string, error) {
	if err := compareRevisions(ctx, cluster, batchgate); err != nil {
		return "", err
	}
	total := 0
	for _, resource := range BatchResources {
		theirs, revision, err := listIdentities(ctx, cluster, resource, "")
		if err != nil {
			return "", err
		}
		ours, _, err := listIdentities(ctx, batchgate, resource, revision)
		if err != nil {
			return "", fmt.Errorf("%w: the server must use the etcd in which the cluster stores Jobs", err)
		}
		if diff := Difference(theirs, ours); diff != "" {
			return "", fmt.Errorf("the server's %s differ from the cluster's: %s: it must use the cluster's etcd and prefix", resource, diff)
		}
		total += len(ours)
	}
	return fmt.Sprintf("the same %d Jobs and CronJobs", total), nil
}

// CompareEtcd is CompareObjects for a kube-apiserver that does not serve batch/v1 itself. It only
// compares the revisions of the etcds.
func CompareEtcd(ctx context.Context, cluster, batchgate Server) (string, error) {
	if err := compareRevisionsOf(ctx, "/api/v1/namespaces", cluster, batchgate); err != nil {
		return "", err
	}
	return "Batchgate uses the cluster's etcd", nil
}

// compareRevisions tells two etcds apart even if both have no Jobs.
func compareRevisions(ctx context.Context, cluster, batchgate Server) error {
	return compareRevisionsOf(ctx, BatchPath("jobs"), cluster, batchgate)
}

// compareRevisionsOf compares the revision of a path of the cluster with the one of Batchgate's Jobs.
func compareRevisionsOf(ctx context.Context, path string, cluster, batchgate Server) error {
	var revisions [3]int64
	for i, of := range []struct {
		server Server
		path   string
	}{{cluster, path}, {batchgate, BatchPath("jobs")}, {cluster, path}} {
		var err error
		if revisions[i], err = Revision(ctx, of.server, of.path); err != nil {
			return err
		}
	}
	if revisions[1] < revisions[0] || revisions[1] > revisions[2] {
		return fmt.Errorf("the server's etcd is at revision %d and the cluster's at %d: the server must use the etcd in which the cluster stores Jobs", revisions[1], revisions[2])
	}
	return nil
}

// JobsRevision returns the revision of a server's list of Jobs, which is the revision of its etcd.
func JobsRevision(ctx context.Context, s Server) (int64, error) {
	return Revision(ctx, s, BatchPath("jobs"))
}

// Revision returns the revision of the list at a path.
func Revision(ctx context.Context, s Server, path string) (int64, error) {
	list, err := listMetadata(ctx, s, path, url.Values{"limit": {"1"}})
	if err != nil {
		return 0, err
	}
	revision, err := strconv.ParseInt(list.ResourceVersion, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading the revision of %s: %w", path, err)
	}
	return revision, nil
}

func listMetadata(ctx context.Context, s Server, path string, query url.Values) (*metav1.PartialObjectMetadataList, error) {
	content, err := s.Read(ctx, path, ReadOptions{Accept: acceptMetadata, Query: query})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", path, err)
	}
	list := &metav1.PartialObjectMetadataList{}
	if err := json.Unmarshal(content, list); err != nil {
		return nil, fmt.Errorf("listing %s: %w", path, err)
	}
	return list, nil
}

// listIdentities returns name, UID and version of all objects of a resource at a revision, and
// that revision. An empty revision means the current one.
func listIdentities(ctx context.Context, s Server, resource, revision string) ([]string, string, error) {
	var found []string
	for token := ""; ; {
		query := url.Values{"limit": {strconv.Itoa(PageSize)}}
		switch {
		case token != "":
			query.Set("continue", token)
		case revision != "":
			query.Set("resourceVersion", revision)
			query.Set("resourceVersionMatch", string(metav1.ResourceVersionMatchExact))
		}
		list, err := listMetadata(ctx, s, BatchPath(resource), query)
		if err != nil {
			return nil, "", err
		}
		for _, item := range list.Items {
			found = append(found, fmt.Sprintf("%s %s/%s %s %s", resource, item.Namespace, item.Name, item.UID, item.ResourceVersion))
		}
		if token = list.Continue; token == "" {
			return found, list.ResourceVersion, nil
		}
	}
}

// Difference counts the elements that only one of two lists has, and names at most three of each.
// It sorts both lists and returns an empty string if they have the same elements.
func Difference(theirs, ours []string) string {
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

// Canary returns a Job for checks. It is not suspended, so callers that create it must suspend it.
func Canary() *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, GenerateName: "batchgate-canary-"},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "canary", Image: "canary"}},
		}}},
	}
}
