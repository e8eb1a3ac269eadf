// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/embeddedetcd"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
)

// etcdPair is the etcd of a cluster and a dedicated etcd, which has compacted more revisions than
// the former will ever use, as artifacts/overlays/dedicated-etcd sets it up.
type etcdPair struct {
	shared, dedicated                 *clientv3.Client
	sharedEndpoint, dedicatedEndpoint string
}

// pairs are reused. Tests that run at the same time have different ones.
var pairs struct {
	sync.Mutex
	servers []*embeddedetcd.Server
	free    []*etcdPair
	used    map[*testing.T]*etcdPair
}

func TestMain(m *testing.M) {
	// The tests spend most of their time waiting. The flag on the command line overrides this.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	code := m.Run()
	for _, s := range pairs.servers {
		s.Stop()
	}
	if directory, err := pairsDirectory(); err == nil {
		os.RemoveAll(directory)
	}
	os.Exit(code)
}

// pairFor returns the pair of a test, and the same one if the test calls it again.
func pairFor(t *testing.T) *etcdPair {
	t.Helper()
	pairs.Lock()
	defer pairs.Unlock()
	if p := pairs.used[t]; p != nil {
		return p
	}
	var p *etcdPair
	if last := len(pairs.free) - 1; last >= 0 {
		p, pairs.free = pairs.free[last], pairs.free[:last]
	} else {
		// A start takes seconds, so parallel tests start theirs at the same time.
		pairs.Unlock()
		var err error
		p, err = startPair()
		pairs.Lock()
		if err != nil {
			t.Fatal(err)
		}
	}
	if pairs.used == nil {
		pairs.used = map[*testing.T]*etcdPair{}
	}
	pairs.used[t] = p
	t.Cleanup(func() {
		pairs.Lock()
		defer pairs.Unlock()
		delete(pairs.used, t)
		pairs.free = append(pairs.free, p)
	})
	return p
}

func startPair() (*etcdPair, error) {
	parent, err := pairsDirectory()
	if err != nil {
		return nil, err
	}
	directory, err := os.MkdirTemp(parent, "")
	if err != nil {
		return nil, err
	}
	seed := &embeddedetcd.Seed{
		DataDir: filepath.Join(directory, "dedicated", "member-data"), Name: "batchgate", PeerURLs: []string{"http://127.0.0.1:1"},
		InitialCluster: "batchgate=http://127.0.0.1:1", Token: "dedicated", Revision: 4 * revisionMargin,
	}
	if _, err := seed.CreateDataDir(context.Background()); err != nil {
		return nil, err
	}
	p := &etcdPair{}
	for _, member := range []struct {
		name     string
		client   **clientv3.Client
		endpoint *string
	}{{"shared", &p.shared, &p.sharedEndpoint}, {"dedicated", &p.dedicated, &p.dedicatedEndpoint}} {
		server, err := embeddedetcd.Start(context.Background(), embeddedetcd.Options{Directory: filepath.Join(directory, member.name)})
		if err != nil {
			return nil, err
		}
		pairs.Lock()
		pairs.servers = append(pairs.servers, server)
		pairs.Unlock()
		*member.endpoint = server.Endpoint()
		if *member.client, err = clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint()}, Logger: zap.NewNop()}); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// pairsDirectory returns the directory for the data of all pairs. etcd syncs every write, so memory is
// much faster than a disk.
var pairsDirectory = sync.OnceValues(func() (string, error) {
	memory := "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		memory = os.TempDir()
	}
	return lockedDirectory(memory, "batchgate-migration-")
})

// lockedDirectory creates a directory that this process locks while it runs. It removes the
// directories of processes that were killed.
func lockedDirectory(parent, prefix string) (string, error) {
	earlier, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return "", err
	}
	for _, directory := range earlier {
		if unlock := lock(directory); unlock != nil {
			os.RemoveAll(directory)
			unlock()
		}
	}
	directory, err := os.MkdirTemp(parent, prefix)
	if err == nil && lock(directory) == nil {
		err = errors.New("locking " + directory + " failed")
	}
	return directory, err
}

// lock returns nil if another process has locked the directory. A lock ends with its process.
func lock(directory string) (unlock func()) {
	file, err := os.Open(directory)
	if err != nil {
		return nil
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil
	}
	held = append(held, file)
	return func() { file.Close() }
}

// held keeps the garbage collector from closing locked files.
var held []*os.File

func TestLockedDirectory(t *testing.T) {
	parent := t.TempDir()
	killed := filepath.Join(parent, "a-killed")
	if err := os.Mkdir(killed, 0o755); err != nil {
		t.Fatal(err)
	}
	running, err := lockedDirectory(parent, "a-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed); !os.IsNotExist(err) {
		t.Errorf("the directory of a killed process: %v", err)
	}
	if _, err := lockedDirectory(parent, "a-"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(running); err != nil {
		t.Errorf("the directory of a running process: %v", err)
	}
}

// interceptedKV passes requests to etcd to fake.Cluster.Request, so that faults can be injected into them.
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

func (kv *interceptedKV) Txn(ctx context.Context) clientv3.Txn {
	return &interceptedTxn{Txn: kv.Client.Txn(ctx), kv: kv}
}

type interceptedTxn struct {
	clientv3.Txn
	kv *interceptedKV
	// marks is set if the transaction writes the marker.
	marks bool
}

func (txn *interceptedTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	return &interceptedTxn{txn.Txn.If(cs...), txn.kv, txn.marks}
}

func (txn *interceptedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	marks := slices.ContainsFunc(ops, func(op clientv3.Op) bool { return op.IsPut() && string(op.KeyBytes()) == policy.MarkerKey })
	return &interceptedTxn{txn.Txn.Then(ops...), txn.kv, marks}
}

func (txn *interceptedTxn) Commit() (r *clientv3.TxnResponse, err error) {
	description := txn.kv.name + " commit"
	if txn.marks {
		description = fmt.Sprintf("%s put %q", txn.kv.name, policy.MarkerKey)
	}
	err = txn.kv.cluster.Request(description, func() error {
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
