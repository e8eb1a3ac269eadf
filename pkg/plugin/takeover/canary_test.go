// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

// checkNoCanary fails the test if a server has a canary.
func checkNoCanary(t *testing.T, c *fake.Cluster) {
	t.Helper()
	for _, s := range []*fake.Server{c.KubeAPIServer, c.Batchgate} {
		for _, resource := range []string{"jobs", "cronjobs"} {
			objects, _, err := s.Storage.List(resource)
			if err != nil {
				t.Fatal(err)
			}
			for _, obj := range objects {
				if strings.HasPrefix(obj.GetName(), "batchgate-canary-") {
					t.Errorf("%s %s was not deleted", resource, obj.GetName())
				}
			}
		}
	}
}

// failOn makes requests with that prefix fail.
func failOn(err error, prefixes ...string) func(string) error {
	return func(request string) error {
		for _, prefix := range prefixes {
			if strings.HasPrefix(request, prefix) {
				return err
			}
		}
		return nil
	}
}

// The servers agree in everything but where and how they store objects, and there are no Jobs.
func TestTakeover_Canary(t *testing.T) {
	encrypted := apierrors.NewInternalError(errors.New("identity transformer tried to read encrypted data"))
	denied := func(name string) error {
		return apierrors.NewForbidden(batchv1.Resource("jobs"), "x", errors.New("ValidatingAdmissionPolicy '"+name+"' denied request"))
	}
	for name, tc := range map[string]struct {
		prepare func(*fake.Cluster)
		want    string
	}{
		"other etcd prefix": {func(c *fake.Cluster) {
			c.Batchgate.Storage = c.KubeAPIServer.Storage.(*fake.Memory).OtherPrefix()
		}, "set --etcd-servers and --etcd-prefix of Batchgate to what kube-apiserver uses for Jobs"},
		"kube-apiserver encrypts Jobs": {func(c *fake.Cluster) {
			c.Before = failOn(encrypted, "Batchgate get jobs")
		}, "Batchgate cannot read Job default/batchgate-canary-"},
		"kube-apiserver encrypts CronJobs": {func(c *fake.Cluster) {
			c.Before = failOn(encrypted, "Batchgate get cronjobs")
		}, "Batchgate cannot read CronJob default/batchgate-canary-"},
		"Batchgate encrypts Jobs": {func(c *fake.Cluster) {
			written := false
			c.Before = func(request string) error {
				written = written || strings.HasPrefix(request, "Batchgate patch jobs")
				if written {
					return failOn(encrypted, "kube-apiserver get jobs", "kube-apiserver delete jobs")(request)
				}
				return nil
			}
		}, "kube-apiserver cannot read Job default/batchgate-canary-"},
		"Batchgate changes the object": {func(c *fake.Cluster) {
			c.Batchgate.ChangeObject = func(obj fake.Object) { obj.SetFinalizers([]string{"example.com/x"}) }
		}, "Batchgate returns a different Job default/batchgate-canary-"},
		"denied": {func(c *fake.Cluster) {
			c.Before = failOn(denied("images"), "kube-apiserver create cronjobs")
		}, "choose another namespace with --canary-namespace, or exempt objects with the label batchgate.io/canary"},
		"frozen": {func(c *fake.Cluster) {
			c.Before = failOn(denied(policy.FreezeName), "kube-apiserver create jobs")
		}, "an import or a rollback denies writes"},
		"guarded": {func(c *fake.Cluster) {
			c.Before = failOn(denied(policy.GuardName), "kube-apiserver create jobs")
		}, "run kubectl batchgate import --etcd-servers=<etcd of Batchgate>, which takes over again"},
	} {
		t.Run(name, func(t *testing.T) {
			storage := fake.NewMemory(100)
			c := fake.New(storage, storage)
			tc.prepare(c)
			r := &recorder{}
			if err := takeOver(t, c, r); !errors.Is(err, steps.ErrNothingChanged) {
				t.Errorf("unexpected error: %v", err)
			}
			for _, result := range *r {
				if result.Name == "canary" && !strings.Contains(result.Error, tc.want) || result.Name != "canary" && result.Error != "" {
					t.Errorf("unexpected result: %+v, want %q", result, tc.want)
				}
			}
			c.Before = nil
			checkNative(t, c)
			checkNoCanary(t, c)
		})
	}
}

func TestTakeover_CanarySelfLink(t *testing.T) {
	c := newCluster(t)
	c.Batchgate.ChangeObject = func(obj fake.Object) { obj.SetSelfLink("/apis/batch/v1/x") }
	if err := takeOver(t, c, &recorder{}); err != nil {
		t.Error(err)
	}
	checkNoCanary(t, c)
}

func TestTakeover_CanaryUndeletable(t *testing.T) {
	c := newCluster(t)
	c.Before = failOn(apierrors.NewForbidden(batchv1.Resource("jobs"), "x", errors.New("denied")), "kube-apiserver delete jobs", "Batchgate delete jobs")
	r := &recorder{}
	if err := takeOver(t, c, r); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(r.result("canary").Error, "run kubectl -n default delete job batchgate-canary-") {
		t.Errorf("unexpected error or result: %v, %+v", err, r.result("canary"))
	}
}

// No canary is left after a fault in any request, a lost response or an interruption included. A
// kill may leave one, which a later command deletes.
func TestTakeover_CanaryInterrupted(t *testing.T) {
	interrupted := fake.Mode("interrupted")
	for _, mode := range append([]fake.Mode{interrupted}, fake.Modes...) {
		t.Run(string(mode), func(t *testing.T) {
			for n := 1; ; n++ {
				c := newCluster(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				run := func() error {
					o := takeover.Takeover{Cluster: c.Cluster, Batchgate: c.Connection(), Report: func(steps.Result) {}, DryRun: true}
					return o.Run(ctx)
				}
				request := ""
				if mode == interrupted {
					count, cleanup := 0, false
					c.Before = func(description string) error {
						// The cleanup has its own context.
						if cleanup = cleanup || strings.Contains(description, " delete "); cleanup {
							return nil
						}
						return ctx.Err()
					}
					c.After = func(description string) error {
						if count++; count == n {
							request = description
							cancel()
							return ctx.Err()
						}
						return nil
					}
					_ = run()
					c.Before, c.After = nil, nil
				} else {
					request, _ = c.RunWithFault(n, mode, run)
				}
				if request == "" {
					if n < 3 || mode == fake.Fail && n < 40 {
						t.Errorf("after %d requests", n)
					}
					return
				}
				if mode.Kills() {
					age(t, c)
					ctx = t.Context()
					if err := run(); err != nil {
						t.Error(err)
					}
				}
				checkNoCanary(t, c)
				if t.Failed() {
					t.Fatalf("request %d, %q", n, request)
				}
			}
		})
	}
}

// age makes the canaries an hour old.
func age(t *testing.T, c *fake.Cluster) {
	t.Helper()
	for _, resource := range []string{"jobs", "cronjobs"} {
		objects, _, err := c.KubeAPIServer.Storage.List(resource)
		if err != nil {
			t.Fatal(err)
		}
		for _, obj := range objects {
			obj.SetCreationTimestamp(metav1.NewTime(time.Now().Add(-time.Hour)))
			if err := c.KubeAPIServer.Storage.Put(resource, obj); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A canary of a command that may be running stays.
func TestTakeover_CanaryOfOtherCommand(t *testing.T) {
	c := newCluster(t)
	other := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "batchgate-canary-other", Labels: map[string]string{policy.CanaryLabel: "created"}, CreationTimestamp: metav1.Now(),
	}}
	if err := c.KubeAPIServer.Storage.Put("jobs", other); err != nil {
		t.Fatal(err)
	}
	if err := takeOver(t, c, &recorder{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.KubeAPIServer.BatchV1().Jobs("default").Get(t.Context(), other.Name, metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}
