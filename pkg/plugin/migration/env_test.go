// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// testEnv is a cluster with Jobs in its etcd, and a Batchgate with an empty dedicated etcd.
type testEnv struct {
	*fake.Cluster
	t                 *testing.T
	etcds             *etcdPair
	shared, dedicated *Store
	// want holds the objects that clients must see, by resource/namespace/name, and their UIDs.
	want    map[string]string
	results []steps.Result
}

func newTestEnv(t *testing.T) *testEnv {
	t.Helper()
	e := &testEnv{t: t, etcds: pairFor(t), want: map[string]string{}}
	for _, client := range []*clientv3.Client{e.etcds.shared, e.etcds.dedicated} {
		if _, err := client.Delete(t.Context(), "\x00", clientv3.WithFromKey()); err != nil {
			t.Fatal(err)
		}
	}
	e.Cluster = fake.New(etcdStorage{e.etcds.shared}, etcdStorage{e.etcds.dedicated})
	e.Persist = e.persist
	e.shared, e.dedicated = e.store("cluster etcd", e.etcds.shared), e.store("dedicated etcd", e.etcds.dedicated)
	for _, name := range []string{"pi", "e"} {
		job := newJob(name)
		job.Status.Active = 2
		e.put("jobs", job)
	}
	e.put("cronjobs", &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "nightly", UID: "nightly-uid"}})
	return e
}

func (e *testEnv) store(name string, client *clientv3.Client) *Store {
	return &Store{client: client, kv: &interceptedKV{client, e.Cluster, name}, prefix: policy.DefaultEtcdPrefix}
}

// persist stores a binding in the cluster's etcd. Its value is as if it were encrypted.
func (e *testEnv) persist(name string, obj runtime.Object) string {
	key := e.shared.key(bindingID(name))
	if obj == nil {
		if _, err := e.etcds.shared.Delete(context.Background(), key); err != nil {
			e.t.Error(err)
		}
		return ""
	}
	response, err := e.etcds.shared.Put(context.Background(), key, encryptedPrefix+"x")
	if err != nil {
		e.t.Error(err)
		return ""
	}
	return strconv.FormatInt(response.Header.Revision, 10)
}

func newJob(name string) *batchv1.Job {
	job := cluster.Canary()
	job.GenerateName, job.Name, job.UID = "", name, types.UID(name+"-uid")
	return job
}

// put stores an object in the cluster's etcd.
func (e *testEnv) put(resource string, obj fake.Object) {
	e.t.Helper()
	e.want[resource+"/"+obj.GetNamespace()+"/"+obj.GetName()] = string(obj.GetUID())
	if err := (etcdStorage{e.etcds.shared}).Put(resource, obj); err != nil {
		e.t.Fatal(err)
	}
}

func (e *testEnv) report(r steps.Result) { e.results = append(e.results, r) }

// result returns the last result of that name.
func (e *testEnv) result(name string) steps.Result {
	for _, r := range slices.Backward(e.results) {
		if r.Name == name {
			return r
		}
	}
	return steps.Result{}
}

var testControllers = Controllers{Timeout: 5 * time.Second}

func (e *testEnv) newImport() *Import {
	return &Import{
		Cluster: e.Cluster.Cluster, Batchgate: e.Connection(), Report: e.report, Timeout: 5 * time.Second,
		Etcd: e.store("dedicated etcd", e.etcds.dedicated), Controllers: testControllers, Progress: func(string) {},
	}
}

func (e *testEnv) newRollback() *Rollback {
	return &Rollback{Cluster: e.Cluster.Cluster, Report: e.report, Controllers: testControllers, Progress: func(string) {}}
}

func (e *testEnv) runImport() error { return e.newImport().Run(e.t.Context()) }

// runRollback runs a rollback that can move Jobs back to the cluster's etcd.
func (e *testEnv) runRollback() error {
	r := e.newRollback()
	r.Etcd = e.store("cluster etcd", e.etcds.shared)
	return r.Run(e.t.Context())
}

// imported returns a testEnv after an import.
func imported(t *testing.T) *testEnv {
	t.Helper()
	e := newTestEnv(t)
	if err := e.runImport(); err != nil {
		t.Fatalf("%v\n%+v", err, e.results)
	}
	return e
}

func (e *testEnv) has(binding string) bool {
	e.t.Helper()
	found, err := e.HasBinding(e.t.Context(), binding)
	if err != nil {
		e.t.Fatal(err)
	}
	return found
}

// lift deletes a freeze or a guard by hand. It may be called while a request is served.
func (e *testEnv) lift(name string) {
	e.t.Helper()
	if err := e.KubeAPIServer.Tracker().Delete(admissionv1.SchemeGroupVersion.WithResource("validatingadmissionpolicybindings"), "", name); err != nil {
		e.t.Fatal(err)
	}
	e.persist(name, nil)
}

// write creates a Job as a client does, and records it if the request succeeds.
func (e *testEnv) write(name string) bool {
	e.t.Helper()
	job, err := e.KubeAPIServer.BatchV1().Jobs("default").Create(e.t.Context(), newJob(name), metav1.CreateOptions{})
	if err == nil {
		e.want["jobs/default/"+name] = string(job.UID)
	}
	return err == nil
}

// checkServed fails the test unless clients see the wanted objects and can write.
func (e *testEnv) checkServed() {
	e.t.Helper()
	got := map[string]string{}
	err := read(e.t.Context(), e.KubeAPIServer, func(records []record) error {
		for _, r := range records {
			if strings.Contains(r.id, "batchgate-canary-") {
				continue // left by a killed operation
			}
			obj, _, err := encoder.Decode(r.value, nil, nil)
			if err != nil {
				return err
			}
			got[r.id] = string(obj.(fake.Object).GetUID())
		}
		return nil
	})
	if err != nil {
		e.t.Errorf("reading the objects: %v", err)
	}
	if diff := cmp.Diff(e.want, got); diff != "" {
		e.t.Errorf("the objects (-want +got):\n%s", diff)
	}
	if !e.write("after") {
		e.t.Error("writes are still denied")
	}
}

// checkDedicated fails the test unless Batchgate serves the Jobs from the dedicated etcd.
func (e *testEnv) checkDedicated() {
	e.t.Helper()
	a := e.APIService()
	if a == nil || a.Spec.Service == nil || a.Annotations[policy.EtcdAnnotation] != policy.EtcdDedicated {
		e.t.Errorf("unexpected APIService: %+v", a)
	}
	m, err := e.dedicated.marker(e.t.Context())
	if err != nil || m == nil || m.Cluster != fake.UID || m.State != stateServing {
		e.t.Errorf("the marker is %+v, %v", m, err)
	}
	if e.has(policy.FreezeName) || !e.has(policy.GuardName) {
		e.t.Errorf("unexpected state: frozen %t, guarded %t", e.has(policy.FreezeName), e.has(policy.GuardName))
	}
	e.checkServed()
}

// checkShared fails the test unless kube-apiserver serves the Jobs as before an import.
func (e *testEnv) checkShared() {
	e.t.Helper()
	a := e.APIService()
	if a == nil || a.Spec.Service != nil || len(a.Annotations) > 0 || a.Labels[policy.AutoManagedLabel] == "" {
		e.t.Errorf("unexpected APIService: %+v", a)
	}
	if e.has(policy.FreezeName) || e.has(policy.GuardName) {
		e.t.Errorf("unexpected state: frozen %t, guarded %t", e.has(policy.FreezeName), e.has(policy.GuardName))
	}
	e.checkServed()
}

// isOneOf reports whether err is one of the errors.
func isOneOf(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}
