// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// documents holds the discovery and OpenAPI documents of a server by path, without the field info,
// which names the server.
type documents map[string]map[string]any

const (
	discoveryDocument = "discovery"
	v2Document        = "openapi/v2"
	batchDocument     = "openapi/v3/apis/batch/v1"
)

// waitDocuments waits until kube-apiserver publishes batch/v1 and returns its documents.
func waitDocuments(ctx context.Context) (found documents, err error) {
	err = wait.PollUntilContextTimeout(ctx, time.Second, session.WaitTimeout, true, func(ctx context.Context) (bool, error) {
		var err error
		found, err = readDocuments(ctx, cluster.Client)
		return err == nil && found[batchDocument] != nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the documents of kube-apiserver: %w", err)
	}
	return found, nil
}

func readDocuments(ctx context.Context, client kubernetes.Interface) (documents, error) {
	found := documents{}
	read := func(name, path, accept string) error {
		doc, err := session.ReadDocument(ctx, client, path, accept)
		delete(doc, "info")
		found[name] = doc
		return err
	}
	if err := read(discoveryDocument, "/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"); err != nil {
		return nil, err
	}
	if err := read(v2Document, "/openapi/v2", "application/json"); err != nil {
		return nil, err
	}
	root, err := session.ReadDocument(ctx, client, "/openapi/v3", "application/json")
	if err != nil {
		return nil, err
	}
	for path := range root["paths"].(map[string]any) {
		if err := read("openapi/v3/"+path, "/openapi/v3/"+path, "application/json"); err != nil {
			return nil, err
		}
	}
	found.dropPolicies()
	return found, nil
}

// dropPolicies removes the API group policy.batchgate.io, which only Batchgate serves.
func (d documents) dropPolicies() {
	const group = "policy.batchgate.io"
	maps.DeleteFunc(d, func(path string, _ map[string]any) bool { return strings.Contains(path, "/apis/"+group) })
	isPolicy := func(name string, _ any) bool {
		return strings.HasPrefix(name, "/apis/"+group+"/") || strings.HasPrefix(name, "io.batchgate.")
	}
	maps.DeleteFunc(d[v2Document]["paths"].(map[string]any), isPolicy)
	maps.DeleteFunc(d[v2Document]["definitions"].(map[string]any), isPolicy)
	d[v2Document] = session.WithKinds(d[v2Document], func(other string) bool { return other != group }).(map[string]any)
	d[discoveryDocument]["items"] = slices.DeleteFunc(d[discoveryDocument]["items"].([]any), func(item any) bool {
		return item.(map[string]any)["metadata"].(map[string]any)["name"] == group
	})
}

// compare returns an error that describes how got differs from want.
func compare(want, got documents) error {
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		return fmt.Errorf("the set of documents differs (-want +got):\n%s", diff)
	}
	for name := range want {
		if !reflect.DeepEqual(want[name], got[name]) {
			return fmt.Errorf("%s differs (-want +got):\n%s", name, cmp.Diff(want[name], got[name]))
		}
	}
	return nil
}

// comparable returns the documents in a form that does not depend on the server. Schemas such as
// DeleteOptions list the kinds of all API groups that a process knows, and Batchgate knows fewer
// groups. So comparable keeps only the kinds of batch in documents that Batchgate also publishes.
func (d documents) comparable(batchgate documents) documents {
	found := maps.Clone(d)
	for name := range batchgate {
		if strings.HasPrefix(name, "openapi/v3/") && found[name] != nil {
			found[name] = session.WithKinds(found[name], onlyBatch).(map[string]any)
		}
	}
	if older() {
		// Batchgate describes types and parameters as its own version of Kubernetes does. For the
		// paths of policies, the aggregator adds what kube-apiserver lacks. If both have a
		// definition and they differ, it adds Batchgate's under a name with the suffix _v2.
		found[v2Document] = session.WithKinds(found[v2Document], onlyBatch).(map[string]any)
		for _, section := range []string{"definitions", "parameters"} {
			native, _ := publishedBefore[v2Document][section].(map[string]any)
			ours, _ := batchgate[v2Document][section].(map[string]any)
			maps.DeleteFunc(found[v2Document][section].(map[string]any), func(name string, _ any) bool {
				return native[name] == nil && (ours[name] != nil || strings.HasSuffix(name, "_v2"))
			})
		}
	}
	return found
}

func onlyBatch(group string) bool { return group == "batch" }

// older is true if the control plane is older than the version of Kubernetes in go.mod.
func older() bool { return os.Getenv(framework.KubernetesVariable) != "" }

// fetches counts how often the aggregator fetched a document from Batchgate.
func fetches(t *testing.T, path string) int {
	t.Helper()
	events, _, err := cluster.AuditEvents(0, path)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, event := range events {
		if event.RequestURI == path && event.User.Username == "system:aggregator" {
			count++
		}
	}
	return count
}

// kube-apiserver keeps publishing its own documents of batch/v1. The aggregator takes from Batchgate
// only definitions that it lacks (OpenAPI v2) and the documents in Batchgate's index (OpenAPI v3).
func TestTakeoverKeepsDiscoveryAndOpenAPI(t *testing.T) {
	s := session.Disrupt(t, cluster)
	direct, err := kubernetes.NewForConfig(cluster.DirectConfig())
	if err != nil {
		t.Fatal(err)
	}
	batchgate, err := readDocuments(t.Context(), direct)
	if err != nil {
		t.Fatal(err)
	}
	want := publishedBefore.comparable(batchgate)
	same := func() error {
		got, err := readDocuments(t.Context(), cluster.Client)
		if err != nil {
			return err
		}
		return compare(want, got.comparable(batchgate))
	}
	s.Eventually("publish the same documents after takeover", same)
	for name, doc := range batchgate.comparable(batchgate) {
		if name == discoveryDocument || name == v2Document {
			continue // covers all API groups; test/integration compares it with upstream
		}
		if older() {
			continue // has the fields of Batchgate's own version of Kubernetes
		}
		if diff := cmp.Diff(want[name], doc); diff != "" {
			t.Errorf("%s of Batchgate differs from kube-apiserver's (-want +got):\n%s", name, diff)
		}
	}

	before := map[string]int{}
	for _, path := range []string{"/openapi/v2", "/openapi/v3"} {
		before[path] = fetches(t, path)
	}
	if err := cluster.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, n := range before {
		s.Eventually("see the aggregator fetch "+path, func() error {
			if fetches(t, path) == n {
				return errors.New("no fetch in the audit log")
			}
			return nil
		})
	}
	s.Eventually("publish the same documents after a restart", same)
	session.ExpectNativeOpenAPI(t, cluster)
	s.Run("explain", "job.spec.parallelism")

	session.RollBack(t, cluster)
	s.WaitNative()
	s.Eventually("publish the same documents after rollback", same)
	session.ExpectNativeOpenAPI(t, cluster)
}
