// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

const encryptingMetrics = `# TYPE apiserver_storage_transformation_operations_total counter
apiserver_storage_transformation_operations_total{resource="secrets",status="OK",transformation_type="to_storage",transformer_prefix="k8s:enc:secretbox:v1:"} 2
apiserver_storage_transformation_operations_total{resource="cronjobs.batch",status="OK",transformation_type="from_storage",transformer_prefix="k8s:enc:aescbc:v1:"} 1
`

// encrypting stores objects as a server with --encryption-provider-config does.
type encrypting struct{ etcdStorage }

func (s encrypting) Put(resource string, obj fake.Object) error {
	r, err := encode(resource, obj.DeepCopyObject())
	if err != nil {
		return err
	}
	_, err = s.client.Put(context.Background(), policy.DefaultEtcdPrefix+"/"+r.id, "k8s:enc:aescbc:v1:"+string(r.value))
	return err
}

func (s encrypting) List(resource string) ([]fake.Object, int64, error) {
	response, err := s.client.Get(context.Background(), s.prefix(resource), clientv3.WithPrefix())
	if err != nil {
		return nil, 0, err
	}
	var all []fake.Object
	for _, kv := range response.Kvs {
		obj, _, err := encoder.Decode(bytes.TrimPrefix(kv.Value, []byte("k8s:enc:aescbc:v1:")), nil, nil)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, obj.(fake.Object))
	}
	return all, response.Header.Revision, nil
}

func TestEncryptsJobs(t *testing.T) {
	for name, tc := range map[string]struct {
		metrics string
		want    bool
	}{
		"no encryption": {"apiserver_request_total 1\n", false},
		"CronJobs":      {encryptingMetrics, true},
		"Secrets":       {strings.Replace(encryptingMetrics, "cronjobs.batch", "secrets", 1), false},
		"other group":   {strings.Replace(encryptingMetrics, "cronjobs.batch", "jobs.example.com", 1), false},
		"identity":      {strings.ReplaceAll(encryptingMetrics, "k8s:enc:aescbc:v1:", "identity"), false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			e.KubeAPIServer.Metrics = tc.metrics
			if got, err := encryptsJobs(t.Context(), e.KubeAPIServer); err != nil || got != tc.want {
				t.Errorf("got %t, %v; want %t", got, err, tc.want)
			}
		})
	}
}

// Nothing is frozen if a server encrypts Jobs at rest.
func TestImport_Encryption(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*testEnv, *Import)
		want    string
	}{
		"kube-apiserver encrypts": {func(e *testEnv, _ *Import) { e.KubeAPIServer.Metrics = encryptingMetrics }, "kube-apiserver encrypts Jobs or CronJobs at rest"},
		"Batchgate encrypts":      {func(e *testEnv, _ *Import) { e.Batchgate.Storage = encrypting{etcdStorage{e.etcds.dedicated}} }, "Batchgate encrypts Jobs or CronJobs at rest"},
		"other prefix":            {func(_ *testEnv, i *Import) { i.Etcd.prefix = "/other" }, "use its --etcd-servers and --etcd-prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			i := e.newImport()
			tc.prepare(e, i)
			e.After = func(request string) error {
				if strings.Contains(request, "create validatingadmissionpolicies") {
					t.Error("writes were frozen")
				}
				return nil
			}
			if err := i.Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) {
				t.Errorf("the error is %v", err)
			}
			if got := e.result("encryption").Error; !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			for _, kv := range values(t, e.etcds.dedicated) {
				t.Errorf("left in the dedicated etcd: %.80q", kv)
			}
			e.checkShared()
		})
	}
}

func TestImport_Unencrypted(t *testing.T) {
	e := newTestEnv(t)
	e.KubeAPIServer.Metrics = encryptingMetrics
	i := e.newImport()
	i.Unencrypted = true
	if err := i.Run(t.Context()); err != nil || e.result("encryption").Detail != skipped {
		t.Errorf("%v, %+v", err, e.result("encryption"))
	}
	e.checkDedicated()
}

func TestRollback_Encryption(t *testing.T) {
	for name, prepare := range map[string]func(*testEnv){
		"metrics": func(e *testEnv) { e.KubeAPIServer.Metrics = encryptingMetrics },
		"outdated Job": func(e *testEnv) {
			storage := encrypting{etcdStorage{e.etcds.shared}}
			e.KubeAPIServer.Storage = storage
			if err := storage.Put("jobs", newJob("outdated")); err != nil {
				e.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := imported(t)
			prepare(e)
			if err := e.runRollback(); !errors.Is(err, steps.ErrNothingChanged) {
				t.Errorf("the error is %v", err)
			}
			if got := e.result("encryption").Error; !strings.Contains(got, "set --unencrypted to store them unencrypted") {
				t.Errorf("got %q", got)
			}
			e.checkDedicated()
			r := e.newRollback()
			r.Etcd, r.Unencrypted = e.shared, true
			if err := r.Run(t.Context()); err != nil {
				t.Error(err)
			}
			e.checkShared()
		})
	}
}
