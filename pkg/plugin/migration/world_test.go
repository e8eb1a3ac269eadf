package migration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/embeddedetcd"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// etcds are the cluster's etcd and the dedicated etcd, which all tests share. The latter has
// compacted more revisions than the former will ever use, as artifacts/overlays/dedicated-etcd
// sets it up.
var etcds struct {
	once              sync.Once
	directory         string
	servers           []*embeddedetcd.Server
	shared, dedicated *clientv3.Client
	err               error
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, s := range etcds.servers {
		s.Stop()
	}
	os.RemoveAll(etcds.directory)
	os.Exit(code)
}

func startEtcds() {
	etcds.err = func() (err error) {
		// etcd syncs every write, so memory is much faster than a disk.
		memory := "/dev/shm"
		if _, err := os.Stat(memory); err != nil {
			memory = ""
		}
		if etcds.directory, err = os.MkdirTemp(memory, "batchgate-migration-"); err != nil {
			return err
		}
		seed := &embeddedetcd.Seed{
			DataDir: filepath.Join(etcds.directory, "dedicated", "member-data"), Name: "batchgate", PeerURLs: []string{"http://127.0.0.1:1"},
			InitialCluster: "batchgate=http://127.0.0.1:1", Token: "dedicated", Revision: 4 * revisionMargin,
		}
		if _, err := seed.CreateDataDir(context.Background()); err != nil {
			return err
		}
		for name, client := range map[string]**clientv3.Client{"shared": &etcds.shared, "dedicated": &etcds.dedicated} {
			server, err := embeddedetcd.Start(context.Background(), embeddedetcd.Options{Directory: filepath.Join(etcds.directory, name)})
			if err != nil {
				return err
			}
			etcds.servers = append(etcds.servers, server)
			if *client, err = clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint()}, Logger: zap.NewNop()}); err != nil {
				return err
			}
		}
		return nil
	}()
}

// world is a cluster with Jobs in its etcd, and a Batchgate with an empty dedicated etcd.
type world struct {
	*fake.Cluster
	t                 *testing.T
	shared, dedicated *Store
	// want holds the objects that clients must see, by resource/namespace/name, and their UIDs.
	want    map[string]string
	results []steps.Result
}

func newWorld(t *testing.T) *world {
	t.Helper()
	etcds.once.Do(startEtcds)
	if etcds.err != nil {
		t.Fatal(etcds.err)
	}
	for _, client := range []*clientv3.Client{etcds.shared, etcds.dedicated} {
		if _, err := client.Delete(t.Context(), "\x00", clientv3.WithFromKey()); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, want: map[string]string{}}
	w.Cluster = fake.New(etcdStorage{etcds.shared}, etcdStorage{etcds.dedicated})
	w.shared, w.dedicated = w.store("cluster etcd", etcds.shared), w.store("dedicated etcd", etcds.dedicated)
	for _, name := range []string{"pi", "e"} {
		job := newJob(name)
		job.Status.Active = 2
		w.put("jobs", job)
	}
	w.put("cronjobs", &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "nightly", UID: "nightly-uid"}})
	return w
}

func (w *world) store(name string, client *clientv3.Client) *Store {
	return &Store{client: client, kv: &interceptedKV{client, w.Cluster, name}, prefix: policy.DefaultEtcdPrefix}
}

func newJob(name string) *batchv1.Job {
	job := cluster.Canary()
	job.GenerateName, job.Name, job.UID = "", name, types.UID(name+"-uid")
	return job
}

// put stores an object in the cluster's etcd.
func (w *world) put(resource string, obj fake.Object) {
	w.t.Helper()
	w.want[resource+"/"+obj.GetNamespace()+"/"+obj.GetName()] = string(obj.GetUID())
	if err := (etcdStorage{etcds.shared}).Put(resource, obj); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) report(r steps.Result) { w.results = append(w.results, r) }

// result returns the last result of that name.
func (w *world) result(name string) steps.Result {
	for _, r := range slices.Backward(w.results) {
		if r.Name == name {
			return r
		}
	}
	return steps.Result{}
}

var testControllers = Controllers{Timeout: 10 * time.Second}

func (w *world) newImport() *Import {
	return &Import{
		Cluster: w.Cluster.Cluster, Batchgate: w.Connection(), Report: w.report, Timeout: 10 * time.Second,
		Etcd: w.dedicated, Controllers: testControllers, Progress: func(string) {},
	}
}

func (w *world) newRollback() *Rollback {
	return &Rollback{Cluster: w.Cluster.Cluster, Report: w.report, Controllers: testControllers, Progress: func(string) {}}
}

func (w *world) runImport() error { return w.newImport().Run(w.t.Context()) }

// runRollback gives the cluster's etcd.
func (w *world) runRollback() error {
	r := w.newRollback()
	r.Etcd = w.shared
	return r.Run(w.t.Context())
}

// imported returns a world after an import.
func imported(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	if err := w.runImport(); err != nil {
		t.Fatalf("%v\n%+v", err, w.results)
	}
	return w
}

func (w *world) has(binding string) bool {
	w.t.Helper()
	found, err := w.HasBinding(w.t.Context(), binding)
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// lift deletes a freeze or a guard by hand. It may be called while a request is served.
func (w *world) lift(name string) {
	w.t.Helper()
	if err := w.KubeAPIServer.Tracker().Delete(admissionv1.SchemeGroupVersion.WithResource("validatingadmissionpolicybindings"), "", name); err != nil {
		w.t.Fatal(err)
	}
}

// write creates a Job as a client does, and notes it if the answer is a success.
func (w *world) write(name string) bool {
	w.t.Helper()
	job, err := w.KubeAPIServer.BatchV1().Jobs("default").Create(w.t.Context(), newJob(name), metav1.CreateOptions{})
	if err == nil {
		w.want["jobs/default/"+name] = string(job.UID)
	}
	return err == nil
}

// checkServed fails the test unless clients see the objects that they must, and may write.
func (w *world) checkServed() {
	w.t.Helper()
	got := map[string]string{}
	err := read(w.t.Context(), w.KubeAPIServer, func(records []record) error {
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
		w.t.Errorf("reading the objects: %v", err)
	}
	if diff := cmp.Diff(w.want, got); diff != "" {
		w.t.Errorf("the objects (-want +got):\n%s", diff)
	}
	if !w.write("after") {
		w.t.Error("writes are still denied")
	}
}

// checkDedicated fails the test unless Batchgate serves the Jobs from the dedicated etcd.
func (w *world) checkDedicated() {
	w.t.Helper()
	a := w.APIService()
	if a == nil || a.Spec.Service == nil || a.Annotations[policy.EtcdAnnotation] != policy.EtcdDedicated {
		w.t.Errorf("the APIService is %+v", a)
	}
	m, err := w.dedicated.marker(w.t.Context())
	if diff := cmp.Diff(&marker{fake.UID, stateServing}, m); err != nil || diff != "" {
		w.t.Errorf("the marker: %v (-want +got):\n%s", err, diff)
	}
	if w.has(policy.FreezeName) || !w.has(policy.GuardName) {
		w.t.Errorf("frozen %t, guarded %t", w.has(policy.FreezeName), w.has(policy.GuardName))
	}
	w.checkServed()
}

// checkShared fails the test unless kube-apiserver serves the Jobs as before an import.
func (w *world) checkShared() {
	w.t.Helper()
	a := w.APIService()
	if a == nil || a.Spec.Service != nil || len(a.Annotations) > 0 || a.Labels[policy.AutoManagedLabel] == "" {
		w.t.Errorf("the APIService is %+v", a)
	}
	if w.has(policy.FreezeName) || w.has(policy.GuardName) {
		w.t.Errorf("frozen %t, guarded %t", w.has(policy.FreezeName), w.has(policy.GuardName))
	}
	w.checkServed()
}

// interceptedKV counts the requests to etcd among those to the cluster.
type interceptedKV struct {
	*clientv3.Client
	cluster *fake.Cluster
	name    string
}

func (kv *interceptedKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (r *clientv3.GetResponse, err error) {
	err = kv.cluster.Request(fmt.Sprintf("%s get %q", kv.name, key), func() error {
		r, err = kv.Client.Get(ctx, key, opts...)
		return err
	})
	return r, err
}

func (kv *interceptedKV) Put(ctx context.Context, key, value string, opts ...clientv3.OpOption) (r *clientv3.PutResponse, err error) {
	err = kv.cluster.Request(fmt.Sprintf("%s put %q", kv.name, key), func() error {
		r, err = kv.Client.Put(ctx, key, value, opts...)
		return err
	})
	return r, err
}

func (kv *interceptedKV) Txn(ctx context.Context) clientv3.Txn {
	return &interceptedTxn{kv.Client.Txn(ctx), kv}
}

type interceptedTxn struct {
	clientv3.Txn
	kv *interceptedKV
}

func (txn *interceptedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	return &interceptedTxn{txn.Txn.Then(ops...), txn.kv}
}

func (txn *interceptedTxn) Commit() (r *clientv3.TxnResponse, err error) {
	err = txn.kv.cluster.Request(txn.kv.name+" commit", func() error {
		r, err = txn.Txn.Commit()
		return err
	})
	return r, err
}

// etcdStorage stores objects as an API server does.
type etcdStorage struct{ client *clientv3.Client }

var _ fake.Storage = etcdStorage{}

func (s etcdStorage) prefix(resource string) string {
	return policy.DefaultEtcdPrefix + "/" + resource + "/"
}

func (s etcdStorage) List(resource string) ([]fake.Object, int64, error) {
	response, err := s.client.Get(context.Background(), s.prefix(resource), clientv3.WithPrefix())
	if err != nil {
		return nil, 0, err
	}
	var all []fake.Object
	for _, kv := range response.Kvs {
		obj, _, err := encoder.Decode(kv.Value, nil, nil)
		if err != nil {
			return nil, 0, err
		}
		obj.(fake.Object).SetResourceVersion(fmt.Sprint(kv.ModRevision))
		all = append(all, obj.(fake.Object))
	}
	return all, response.Header.Revision, nil
}

func (s etcdStorage) Put(resource string, obj fake.Object) error {
	r, err := encode(resource, obj.DeepCopyObject())
	if err != nil {
		return err
	}
	_, err = s.client.Put(context.Background(), policy.DefaultEtcdPrefix+"/"+r.id, string(r.value))
	return err
}

func (s etcdStorage) Delete(resource, namespace, name string) error {
	response, err := s.client.Delete(context.Background(), s.prefix(resource)+namespace+"/"+name)
	if err == nil && response.Deleted == 0 {
		return apierrors.NewNotFound(schema.GroupResource{Group: "batch", Resource: resource}, name)
	}
	return err
}

// isOneOf reports whether err is one of the errors.
func isOneOf(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}
