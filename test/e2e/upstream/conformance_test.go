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

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/test/framework"
)

// suite is one call of ginkgo.
type suite struct {
	cluster    *framework.Cluster
	kubeconfig string
	// focus and skip select the specs.
	focus, skip []string
	// processes run the specs.
	processes int
	// timeout is how long ginkgo may take; what runs then, fails.
	timeout string
}

// The names of the columns.
const (
	native  = "native"
	strict  = "Batchgate"
	granted = "with grant"
)

// lacking is the name of a column that no table shows: a grant of all fields but this one.
func lacking(field string) string { return "without " + field }

func TestUpstreamsSpecsPassAsTheyDoNatively(t *testing.T) {
	clusters := startBoth(t)
	suites := map[string]suite{
		native: {cluster: clusters[native], focus: focus, skip: exactly(slow...), processes: 10},
		strict: {cluster: clusters[strict], focus: focus, skip: exactly(slow...), processes: 10},

		// Those that take minutes do not wait for a process.
		native + ", slow":    {cluster: clusters[native], focus: exactly(slow...), processes: 2},
		strict + ", slow":    {cluster: clusters[strict], focus: exactly(suspendedCronJobSpec), processes: 1},
		strict + ", endless": {cluster: clusters[strict], focus: exactly(ttlSpec), processes: 1, timeout: "4m"},
	}
	for i, g := range grants() {
		user := fmt.Sprintf("conformance-%d", i)
		suites[granted+", "+user] = suite{
			cluster:    clusters[strict],
			kubeconfig: g.give(t, clusters[strict], user),
			focus:      exactly(g.specs...),
			processes:  min(len(g.specs), 5),
		}
		for j, without := range g.without() {
			user := fmt.Sprintf("%s-%d", user, j)
			suites[lacking(g.fields[j])+", "+user] = suite{
				cluster:    clusters[strict],
				kubeconfig: without.give(t, clusters[strict], user),
				focus:      exactly(g.specs...),
				processes:  min(len(g.specs), 5),
			}
		}
	}
	results := runAll(t, suites)
	check(t, results)
	compareTable(t, results)
}

// startBoth starts the two control planes.
func startBoth(t *testing.T) map[string]*framework.Cluster {
	t.Helper()
	clusters := map[string]*framework.Cluster{}
	errs := map[string]error{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range []string{native, strict} {
		wg.Go(func() {
			cluster, err := start(t)
			if err == nil && name == strict {
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

// give makes the policy that grants the fields to the user of this name, and returns the user's
// kubeconfig.
func (g grant) give(t *testing.T, cluster *framework.Cluster, name string) string {
	t.Helper()
	t.Logf("%s is granted %q, for %q", name, g.fields, g.specs)
	policy, err := yaml.Marshal(&v1alpha1.JobUpdatePolicy{
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
	if _, _, err := admin.WithStdin(string(policy)).Run(t.Context(), "create", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := admin.Run(t.Context(), "wait", "jup", name, "--for=condition=Ready", "--timeout=110s"); err != nil {
		t.Fatal(err)
	}
	kubectl, err := cluster.KubectlAs(name, "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	return kubectl.Kubeconfig
}

// runAll runs the suites at the same time, and returns the results of specs by column.
func runAll(t *testing.T, suites map[string]suite) map[string]map[string]result {
	t.Helper()
	results := map[string]map[string]result{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, s := range suites {
		wg.Go(func() {
			of, err := s.run(t.Context(), t.TempDir())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			column, _, _ := strings.Cut(name, ",")
			if results[column] == nil {
				results[column] = map[string]result{}
			}
			maps.Copy(results[column], of)
		})
	}
	wg.Wait()
	return results
}

func (s suite) run(ctx context.Context, directory string) (map[string]result, error) {
	// The seed makes the order the same each time.
	args := []string{"--seed=1", fmt.Sprintf("--procs=%d", s.processes), "--timeout=30m"}
	if s.timeout != "" {
		args = append(args, "--timeout="+s.timeout)
	}
	for _, expression := range s.focus {
		args = append(args, "--focus="+expression)
	}
	for _, expression := range s.skip {
		args = append(args, "--skip="+expression)
	}
	kubeconfig := s.kubeconfig
	if kubeconfig == "" {
		kubeconfig = s.cluster.Kubeconfig
	}
	if err := upstream.Run(ctx, s.cluster, kubeconfig, directory, args...); err != nil {
		return nil, err
	}
	return readReport(filepath.Join(directory, "report.json"))
}
