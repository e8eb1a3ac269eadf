// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/test/framework"
)

// ginkgoRun is one execution of ginkgo.
type ginkgoRun struct {
	cluster *framework.Cluster
	// user sends the requests. The default is the cluster's admin.
	user string
	// focus and skip are regular expressions that select specs.
	focus, skip []string
	processes   int
	// timeout defaults to 30m. Specs that are still running fail.
	timeout string
}

// Columns of the results.
const (
	native        = "native"
	withoutPolicy = "Batchgate"
	withPolicy    = "with policy"
)

// withoutField is the column for a policy that grants all fields but this one. The table does not show it.
func withoutField(field string) string { return "without " + field }

func TestUpstreamSpecs(t *testing.T) {
	clusters := startClusters(t)
	runs := map[string]ginkgoRun{
		native:        {cluster: clusters[native], focus: focus, skip: matchNames(slowSpecs...), processes: 10},
		withoutPolicy: {cluster: clusters[withoutPolicy], focus: focus, skip: matchNames(slowSpecs...), processes: 10},

		// Slow specs run in separate processes from the start.
		native + ", slow":            {cluster: clusters[native], focus: matchNames(slowSpecs...), processes: 2},
		withoutPolicy + ", slow":     {cluster: clusters[withoutPolicy], focus: matchNames(suspendedCronJobSpec), processes: 1},
		withoutPolicy + ", retrying": {cluster: clusters[withoutPolicy], user: "upstream-retrying", focus: matchNames(ttlSpec), processes: 1, timeout: "4m"},
	}
	for i, g := range grants() {
		user := fmt.Sprintf("upstream-%d", i)
		g.createPolicy(t, clusters[withoutPolicy], user)
		runs[withPolicy+", "+user] = ginkgoRun{
			cluster:   clusters[withoutPolicy],
			user:      user,
			focus:     matchNames(g.specs...),
			processes: min(len(g.specs), 5),
		}
		for j, without := range g.withoutOneField() {
			user := fmt.Sprintf("%s-%d", user, j)
			without.createPolicy(t, clusters[withoutPolicy], user)
			runs[withoutField(g.fields[j])+", "+user] = ginkgoRun{
				cluster:   clusters[withoutPolicy],
				user:      user,
				focus:     matchNames(g.specs...),
				processes: min(len(g.specs), 5),
			}
		}
	}
	results := runAll(t, runs)
	checkResults(t, results)
	compareDocs(t, results)
}

// startClusters starts the two control planes in parallel.
func startClusters(t *testing.T) map[string]*framework.Cluster {
	t.Helper()
	clusters := map[string]*framework.Cluster{}
	errs := map[string]error{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range []string{native, withoutPolicy} {
		wg.Go(func() {
			cluster, err := startCluster(t)
			if err == nil && name == withoutPolicy {
				if err = cluster.Install(t.Context()); err == nil {
					err = cluster.TakeOver(t.Context())
				}
			}
			mu.Lock()
			defer mu.Unlock()
			clusters[name], errs[name] = cluster, err
		})
	}
	wg.Wait()
	for name, err := range errs {
		if err != nil {
			t.Fatalf("starting %s: %v", name, err)
		}
	}
	return clusters
}

// createPolicy creates a policy that grants the fields to a user of the same name.
func (g grant) createPolicy(t *testing.T, cluster *framework.Cluster, name string) {
	t.Helper()
	t.Logf("%s may update %q, for specs %q", name, g.fields, g.specs)
	manifest, err := yaml.Marshal(&v1alpha1.JobUpdatePolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "JobUpdatePolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.JobUpdatePolicySpec{
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}},
			Fields:   g.fields,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	admin := cluster.Kubectl()
	if _, _, err := admin.WithStdin(string(manifest)).Run(t.Context(), "create", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := admin.Run(t.Context(), "wait", "jup", name, "--for=condition=Ready", "--timeout=110s"); err != nil {
		t.Fatal(err)
	}
}

// runAll runs ginkgo in parallel and returns the results by column and spec.
func runAll(t *testing.T, runs map[string]ginkgoRun) map[string]map[string]result {
	t.Helper()
	results := map[string]map[string]result{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, run := range runs {
		wg.Go(func() {
			specs, err := run.run(t.Context(), t.TempDir())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			column, _, _ := strings.Cut(name, ",")
			if results[column] == nil {
				results[column] = map[string]result{}
			}
			maps.Copy(results[column], specs)
		})
	}
	wg.Wait()
	return results
}

func (run ginkgoRun) run(ctx context.Context, directory string) (map[string]result, error) {
	// A fixed seed keeps the order of the specs.
	args := []string{"--seed=1", fmt.Sprintf("--procs=%d", run.processes), "--timeout=30m"}
	if run.timeout != "" {
		args = append(args, "--timeout="+run.timeout)
	}
	for _, expression := range run.focus {
		args = append(args, "--focus="+expression)
	}
	for _, expression := range run.skip {
		args = append(args, "--skip="+expression)
	}
	kubectl := run.cluster.Kubectl()
	if run.user != "" {
		var err error
		if kubectl, err = run.cluster.KubectlAs(run.user, "system:masters"); err != nil {
			return nil, err
		}
	}
	if err := upstreamTests.Run(ctx, run.cluster, kubectl.Kubeconfig, directory, args...); err != nil {
		return nil, err
	}
	results, err := readReport(filepath.Join(directory, "report.json"))
	if err != nil {
		return nil, err
	}
	for name, r := range results {
		if r.State != timedOut || run.user == "" {
			continue
		}
		// The spec retried a denied update until the timeout. Its last error may be "context canceled".
		if r.denials, err = run.denials(); err != nil {
			return nil, err
		}
		results[name] = r
	}
	return results, nil
}

// denials returns the messages of the updates by the user that were denied, one per line.
func (run ginkgoRun) denials() (string, error) {
	events, _, err := run.cluster.AuditEvents(0, run.user)
	var messages strings.Builder
	for _, event := range events {
		if event.User.Username == run.user && event.Annotations[policy.AuditDecision] == "deny" {
			fmt.Fprintln(&messages, event.ResponseStatus.Message)
		}
	}
	return messages.String(), err
}
