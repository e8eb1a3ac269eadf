package takeover

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	// markerKey is beside the keys of Kubernetes: it says whose Jobs the etcd holds.
	markerKey = "/batchgate.io/import"
	// A request to etcd holds 128 operations and 1.5 MiB by default.
	maxOperations, maxBytes = 100, 1 << 20
	etcdTimeout             = 30 * time.Second
)

// resources are what is moved.
var resources = []string{"jobs", "cronjobs"}

// StoreOptions say where an etcd is.
type StoreOptions struct {
	// Servers are URLs. Without https the files are not used.
	Servers []string
	// CAFile, CertFile and KeyFile are of a client certificate, in PEM.
	CAFile, CertFile, KeyFile string
	// Prefix is the --etcd-prefix of the server that uses the etcd.
	Prefix string
}

// Store is the Jobs and CronJobs in an etcd, past every API server.
type Store struct {
	client *clientv3.Client
	prefix string
}

// OpenStore connects to an etcd.
func OpenStore(ctx context.Context, opts StoreOptions) (*Store, error) {
	config := clientv3.Config{Endpoints: opts.Servers, DialTimeout: etcdTimeout, Logger: zap.NewNop(), Context: context.WithoutCancel(ctx)}
	if opts.CAFile != "" || opts.CertFile != "" {
		var err error
		if config.TLS, err = (transport.TLSInfo{TrustedCAFile: opts.CAFile, CertFile: opts.CertFile, KeyFile: opts.KeyFile}).ClientConfig(); err != nil {
			return nil, fmt.Errorf("reading the certificates for etcd: %w", err)
		}
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to etcd at %s: %w", strings.Join(opts.Servers, ","), err)
	}
	s := &Store{client: client, prefix: "/" + strings.Trim(opts.Prefix, "/")}
	if err := s.checkMembers(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// checkMembers returns an error if the servers are not members of one etcd, or do not answer.
func (s *Store) checkMembers(ctx context.Context) error {
	ids := map[uint64]bool{}
	for _, server := range s.client.Endpoints() {
		ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
		status, err := s.client.Status(ctx, server)
		cancel()
		if err != nil {
			return fmt.Errorf("asking etcd at %s: %w", server, err)
		}
		ids[status.Header.ClusterId] = true
	}
	if len(ids) > 1 {
		return fmt.Errorf("the servers %s are of different etcds", strings.Join(s.client.Endpoints(), ", "))
	}
	return nil
}

// Close ends the connection.
func (s *Store) Close() { _ = s.client.Close() }

// sum stands for the value of an object: two that differ have different sums.
type sum = [sha256.Size]byte

// record is an object as it is stored.
type record struct {
	// id is resource/namespace/name.
	id    string
	value []byte
}

// key returns where an object is stored.
func (s *Store) key(id string) string { return path.Join(s.prefix, id) }

// revision returns the current revision.
func (s *Store) revision(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	response, err := s.client.Get(ctx, markerKey)
	if err != nil {
		return 0, fmt.Errorf("asking etcd at %s: %w", strings.Join(s.client.Endpoints(), ","), err)
	}
	return response.Header.Revision, nil
}

// compacted reports whether whoever asks for what came after the revision is told that this is
// not known any more, in place of being left to wait.
func (s *Store) compacted(ctx context.Context, revision int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	_, err := s.client.Get(ctx, markerKey, clientv3.WithRev(revision))
	if errors.Is(err, rpctypes.ErrCompacted) {
		return true, nil
	}
	if errors.Is(err, rpctypes.ErrFutureRev) {
		err = nil
	}
	return false, err
}

// marker says what an etcd holds.
type marker struct {
	// Cluster is the UID of the cluster's namespace kube-system.
	Cluster string `json:"cluster"`
	// State is that of the import.
	State string `json:"state"`
}

const (
	// stateImporting: the Jobs here are copies, and may be made anew.
	stateImporting = "importing"
	// stateServing: the Jobs here are the ones that count.
	stateServing = "serving"
)

// marker returns nil where there is none.
func (s *Store) marker(ctx context.Context) (*marker, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	response, err := s.client.Get(ctx, markerKey)
	if err != nil || len(response.Kvs) == 0 {
		return nil, err
	}
	m := &marker{}
	if err := json.Unmarshal(response.Kvs[0].Value, m); err != nil {
		return nil, fmt.Errorf("reading %s in etcd: %w", markerKey, err)
	}
	return m, nil
}

func (s *Store) mark(ctx context.Context, m marker) error {
	content, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	_, err = s.client.Put(ctx, markerKey, string(content))
	return err
}

// sums returns those of all objects, by id.
func (s *Store) sums(ctx context.Context) (map[string]sum, error) {
	found := map[string]sum{}
	for _, resource := range resources {
		prefix := s.key(resource) + "/"
		for from, end := prefix, clientv3.GetPrefixRangeEnd(prefix); ; {
			response, err := s.page(ctx, from, end)
			if err != nil {
				return nil, fmt.Errorf("reading %s in etcd: %w", resource, err)
			}
			for _, kv := range response.Kvs {
				if strings.HasPrefix(string(kv.Value), "k8s:enc:") {
					return nil, fmt.Errorf("%s in etcd are encrypted: that cannot be written from here", resource)
				}
				found[strings.TrimPrefix(string(kv.Key), s.prefix+"/")] = sha256.Sum256(kv.Value)
			}
			if !response.More {
				break
			}
			from = string(response.Kvs[len(response.Kvs)-1].Key) + "\x00"
		}
	}
	return found, nil
}

func (s *Store) page(ctx context.Context, from, end string) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	return s.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(pageSize))
}

// write stores objects, in as few requests as etcd takes.
func (s *Store) write(ctx context.Context, records []record) error {
	var operations []clientv3.Op
	size := 0
	for i, r := range records {
		operations = append(operations, clientv3.OpPut(s.key(r.id), string(r.value)))
		size += len(r.value)
		if last := i == len(records)-1; last || len(operations) == maxOperations || size+len(records[i+1].value) > maxBytes {
			if err := s.commit(ctx, operations); err != nil {
				return err
			}
			operations, size = nil, 0
		}
	}
	return nil
}

// remove deletes objects.
func (s *Store) remove(ctx context.Context, ids []string) error {
	var operations []clientv3.Op
	for i, id := range ids {
		operations = append(operations, clientv3.OpDelete(s.key(id)))
		if i == len(ids)-1 || len(operations) == maxOperations {
			if err := s.commit(ctx, operations); err != nil {
				return err
			}
			operations = nil
		}
	}
	return nil
}

func (s *Store) commit(ctx context.Context, operations []clientv3.Op) error {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	if _, err := s.client.Txn(ctx).Then(operations...).Commit(); err != nil {
		return fmt.Errorf("writing to etcd: %w", err)
	}
	return nil
}
