// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

const updateCommand = "UPDATE_GOLDEN=1 go test ./cmd/kubectl-batchgate/app"

// newCluster returns a cluster with one Job and two policies.
func newCluster(t *testing.T) *fake.Cluster {
	t.Helper()
	storage := fake.NewMemory(100)
	job := cluster.Canary()
	job.Name, job.UID = "pi", "1"
	if err := storage.Put("jobs", job); err != nil {
		t.Fatal(err)
	}
	c := fake.New(storage, storage)
	for _, name := range []string{"default", "labels"} {
		p := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}}
		if _, err := c.PolicyClient.PolicyV1alpha1().JobUpdatePolicies().Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// execute runs the plugin on the cluster and returns its output, with the exit code.
func execute(t *testing.T, c *fake.Cluster, args ...string) string {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	content := "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: 'https://localhost:1'}}]\ncontexts: [{name: a, context: {cluster: a}}]\ncurrent-context: a\n"
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)
	t.Setenv("HOME", "/home/admin") // a default of --help
	t.Setenv("KUBECACHEDIR", "")
	var stdout, stderr bytes.Buffer
	s := newSettings(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &stdout, ErrOut: &stderr})
	s.newCluster = func(*rest.Config) (*cluster.Cluster, error) { return c.Cluster, nil }
	s.dial = func(ctx context.Context, _ *connection) (*cluster.Direct, error) { return c.Dial(ctx) }
	s.dialAll = func(ctx context.Context, _ *connection) ([]*cluster.Direct, func(), error) {
		direct, err := c.Dial(ctx)
		return []*cluster.Direct{direct, direct}, func() {}, err
	}
	s.checkReplicas = func(context.Context, *settings, *cluster.Cluster, []byte) (int, error) { return 2, nil }
	code := run(t.Context(), s, args)
	output := stdout.String() + stderr.String()
	return fmt.Sprintf("$ kubectl batchgate %s\n%sexit code %d\n", strings.Join(args, " "), normalize(output), code)
}

var variable = regexp.MustCompile(`after [0-9.]+m?s|valid until 20[0-9]{2}-[0-9]{2}-[0-9]{2}`)

// normalize replaces what differs from run to run.
func normalize(output string) string {
	return variable.ReplaceAllStringFunc(output, func(s string) string {
		if strings.HasPrefix(s, "after") {
			return "after SOME TIME"
		}
		return "valid until SOME DATE"
	})
}

// compareGolden compares the output with a file in testdata, or writes it.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; to write it run: %s", err, updateCommand)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); to update it run: %s\n%s", path, updateCommand, diff)
	}
}

func TestCommands_Output(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare  func(*testing.T, *fake.Cluster)
		commands []string
	}{
		"takeover": {nil, []string{
			"takeover --dry-run --service-port=443 --context=a", "takeover --output=json", "takeover", "rollback --dry-run", "rollback", "rollback",
		}},
		"takeover-output-yaml": {nil, []string{"takeover --output=yaml"}},
		"takeover-check-failed": {func(_ *testing.T, c *fake.Cluster) { c.Batchgate.SetVersion("v1.36.2") }, []string{
			"takeover", "takeover --output=json",
		}},
		"takeover-rolled-back": {func(_ *testing.T, c *fake.Cluster) {
			c.After = func(string) error { c.Batchgate.Down = c.Batchgate.Down || c.TakenOver(); return nil }
		}, []string{"takeover --timeout=20ms"}},
		"rollback-recreates": {func(t *testing.T, c *fake.Cluster) {
			if err := c.Aggregator.ApiregistrationV1().APIServices().Delete(t.Context(), policy.BatchAPIService, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}, []string{"status", "rollback"}},
		"rollback-dedicated-etcd": {takenOver(policy.EtcdDedicated), []string{"rollback", "takeover"}},
		"status":                  {nil, []string{"status", "status --output=json"}},
		"status-taken-over":       {takenOver(""), []string{"status", "status --output=yaml"}},
		"status-problems": {func(t *testing.T, c *fake.Cluster) {
			takenOver(policy.EtcdImporting)(t, c)
			binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: policy.FreezeName}}
			if _, err := c.KubeAPIServer.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			c.Batchgate.SetVersion("v1.36.2")
			c.Batchgate.Ready = false
			p := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: "broken"}}
			if _, err := c.PolicyClient.PolicyV1alpha1().JobUpdatePolicies().Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}, []string{"status"}},
		"status-unreachable": {func(t *testing.T, c *fake.Cluster) {
			takenOver("")(t, c)
			c.Batchgate.Down = true
			c.PolicyClient.PrependReactor("list", "*", failing)
		}, []string{"status"}},
		"unblock": {func(t *testing.T, c *fake.Cluster) {
			takenOver("")(t, c)
			c.Batchgate.Down, c.Blocked = true, true
		}, []string{"status", "unblock --dry-run", "unblock", "unblock --output=json"}},
		"unblock-check-failed": {nil, []string{"unblock", "unblock --output=json"}},
		"certificates": {nil, []string{
			"certificates --dry-run", "certificates", "certificates", "certificates --etcd", "certificates --rotate-ca", "certificates --rotate-ca", "certificates --output=json",
		}},
		"invalid-flags": {nil, []string{
			"takeover --output=xml", "takeover --ca-file=/nowhere", "import", "import --etcd-servers=https://localhost:1 --etcd-cafile=/nowhere",
			"takeover pi", "status --novel", "takeovr", "frobnicate", "policy tset", "takeover --service=other",
		}},
		"can-update": {reviewing(v1alpha1.JobUpdateReviewStatus{
			UpdatableFields: []v1alpha1.UpdatableField{
				{Field: "metadata.labels", Action: v1alpha1.Allow, Policies: []string{"batchgate.io:metadata.labels"}},
				{Field: "spec.suspend", Action: v1alpha1.Warn, Policies: []string{"a", "b"}},
			},
			MoreUpdatableFields: 3,
		}), []string{"can-update job/pi --namespace=batch", "can-update --labels=app=render --output=yaml"}},
		"can-update-fields": {reviewing(v1alpha1.JobUpdateReviewStatus{Fields: []v1alpha1.FieldReview{
			{Field: "spec.suspend", Decision: v1alpha1.ReviewAllow, Policies: []string{"a"}},
			{Field: "spec.template", Decision: v1alpha1.ReviewDeny, Policies: []string{"a"}, Reason: "spec.template: field is immutable"},
			{Field: "spec.backoffLimit", Decision: v1alpha1.ReviewDeny, Reason: "no JobUpdatePolicy grants it"},
		}}), []string{"can-update pi --field=spec.suspend --field=spec.template --field=spec.backoffLimit"}},
		"can-update-unauthorized": {func(t *testing.T, c *fake.Cluster) {
			reviewing(v1alpha1.JobUpdateReviewStatus{Fields: []v1alpha1.FieldReview{{Field: "spec.suspend", Decision: v1alpha1.ReviewAllow, Policies: []string{"a"}}}})(t, c)
			c.Denied["patch jobs"], c.Denied["update jobs"] = true, true
		}, []string{"can-update pi --field=spec.suspend", "can-update pi"}},
		"can-update-nothing": {reviewing(v1alpha1.JobUpdateReviewStatus{}), []string{"can-update"}},
		"can-update-unsupported": {func(_ *testing.T, c *fake.Cluster) {
			c.PolicyClient.PrependReactor("create", "selfjobupdatereviews", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewGenericServerResponse(http.StatusNotFound, "POST", v1alpha1.Resource("selfjobupdatereviews"), "", "404 page not found", 0, true)
			})
		}, []string{"can-update pi", "can-update pod/pi", "can-update --labels=app", "can-update pi web", "can-update --novel", "can-update -o xml", "can-update job/"}},
		"can-update-forbidden": {func(_ *testing.T, c *fake.Cluster) {
			c.PolicyClient.PrependReactor("create", "selfjobupdatereviews", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(v1alpha1.Resource("selfjobupdatereviews"), "", errors.New(`User "alice" cannot create resource`))
			})
		}, []string{"can-update pi"}},
		"policy-suggest": {nil, []string{
			"policy suggest -f testdata/audit.log", "policy suggest -f testdata/audit.log --generalize", "policy suggest -f testdata/audit.log -o json",
			"policy suggest --metrics=testdata/metrics.prom", "policy suggest -f -",
		}},
		"policy-test": {nil, []string{
			"policy test --cases=testdata/cases.yaml", "policy test --cases=testdata/cases-failing.yaml",
			"policy test --cases=testdata/cases.yaml -o json", "policy test -f testdata/policies --old=testdata/job.yaml --new=testdata/job2.yaml",
			`policy test -f testdata/policies --old=testdata/job.yaml --patch={"spec":{"suspend":true}} --as=alice --as-group=dev`,
			`policy test -f testdata/policies --old=testdata/job.yaml --patch={"metadata":{"annotations":{"a":"b"}}} --namespace-labels=env=test -o yaml`,
		}},
		"policy-test-invalid": {nil, []string{
			"policy test", "policy test --cases=/nowhere", "policy test --cases=testdata/job.yaml", "policy test -f testdata/job.yaml --old=testdata/job.yaml --new=testdata/job.yaml",
			"policy test -f testdata/policies --old=testdata/job.yaml", "policy test -f testdata/policies --old=testdata/cases.yaml --patch={}",
			"policy test --old=testdata/job.yaml --new=testdata/job.yaml", "policy test -f - --junit=a --old=b --new=c", "policy test x", "policy test --novel",
			"policy test --cases=testdata/cases.yaml --namespace=dev",
		}},
		"policy-suggest-invalid": {nil, []string{
			"policy suggest", "policy suggest -f a --metrics=b", "policy suggest -f /nowhere", "policy suggest --metrics=testdata/audit.log", "policy suggest -f - -o xml",
			"policy suggest --metrics=/dev/null", "policy suggest -f /dev/null",
		}},
		"help": {nil, []string{"--help", "takeover --help", "rollback --help", "unblock --help", "import --help", "status --help", "can-update --help", "policy --help", "policy suggest --help", "policy test --help", "certificates --help"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			if tc.prepare != nil {
				tc.prepare(t, c)
			}
			var outputs []string
			for _, command := range tc.commands {
				outputs = append(outputs, execute(t, c, strings.Fields(command)...))
			}
			compareGolden(t, name, strings.Join(outputs, "\n"))
		})
	}
}

func takenOver(etcd string) func(*testing.T, *fake.Cluster) {
	return func(t *testing.T, c *fake.Cluster) {
		t.Helper()
		a, err := c.BatchAPIService(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		annotations, err := c.TakeoverAnnotations(t.Context(), fake.Service, etcd)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.TakeOver(t.Context(), a, c.Connection(), annotations); err != nil {
			t.Fatal(err)
		}
	}
}

// reviewing makes the server answer each review with a status.
func reviewing(status v1alpha1.JobUpdateReviewStatus) func(*testing.T, *fake.Cluster) {
	return func(_ *testing.T, c *fake.Cluster) {
		c.PolicyClient.PrependReactor("create", "selfjobupdatereviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
			review := action.(clienttesting.CreateAction).GetObject().(*v1alpha1.SelfJobUpdateReview).DeepCopy()
			review.Status = status
			return true, review, nil
		})
	}
}

// The tests of pkg/plugin check these errors instead of exit codes.
func TestRun_ExitCodes(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"success":         {nil, 0},
		"error":           {errors.New("x"), 1},
		"nothing changed": {fmt.Errorf("x: %w", steps.ErrNothingChanged), 2},
		"rolled back":     {fmt.Errorf("x: %w", steps.ErrRolledBack), 3},
	} {
		t.Run(name, func(t *testing.T) {
			if got := exitCode(tc.err); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// The undo command must not repeat credentials.
func TestRepeatedFlags_WithoutCredentials(t *testing.T) {
	c := newCluster(t)
	output := execute(t, c, "takeover", "--dry-run", "--token=secret", "--as=admin")
	if strings.Contains(strings.SplitN(output, "\n", 2)[1], "secret") || !strings.Contains(output, "to undo it: kubectl batchgate rollback --as=admin") {
		t.Errorf("the output is\n%s", output)
	}
}

func failing(clienttesting.Action) (bool, runtime.Object, error) {
	return true, nil, errors.New("the server could not find the requested resource")
}
