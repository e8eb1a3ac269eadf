// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

const (
	// etcd's defaults allow 128 operations and 1.5 MiB per request.
	maxOperations, maxBytes = 100, 1 << 20
	etcdTimeout             = 30 * time.Second
	// encryptedPrefix starts the values of resources that are encrypted at rest.
	encryptedPrefix = "k8s:enc:"
)

// StoreOptions configures the connection to an etcd.
type StoreOptions struct {
	// Servers are URLs. The files below are used for https only.
	Servers []string
	// CAFile, CertFile and KeyFile are a CA and a client certificate, in PEM.
	CAFile, CertFile, KeyFile string
	// Prefix is the --etcd-prefix of the server that uses the etcd.
	Prefix string
}

// Store reads and writes Jobs and CronJobs in an etcd directly, bypassing the API servers.
type Store struct {
	client *clientv3.Client
	// kv is the client, or a wrapper of it in tests.
	kv     clientv3.KV
	prefix string
	fence  *fence
}

// fence is a key that does not change while an operation may write to an etcd. etcd compares its
// revision in each transaction that writes. So an operation that hung, for example because a laptop
// slept, does not overwrite what clients have written since another operation finished its work.
type fence struct {
	key      string
	revision int64
	// lost is returned if the key was changed or deleted.
	lost error
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
	s := &Store{client: client, kv: client, prefix: "/" + strings.Trim(opts.Prefix, "/")}
	if err := s.checkMembers(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// checkMembers fails if a server does not respond, or if the servers belong to different etcd
// clusters.
func (s *Store) checkMembers(ctx context.Context) error {
	ids := map[uint64]bool{}
	for _, server := range s.client.Endpoints() {
		ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
		status, err := s.client.Status(ctx, server)
		cancel()
		if err != nil {
			return fmt.Errorf("reading the status of etcd at %s: %w", server, err)
		}
		ids[status.Header.ClusterId] = true
	}
	if len(ids) > 1 {
		return fmt.Errorf("the servers %s are members of different etcds", strings.Join(s.client.Endpoints(), ", "))
	}
	return nil
}

// Close closes the connection.
func (s *Store) Close() { _ = s.client.Close() }

func (s *Store) key(id string) string { return path.Join(s.prefix, id) }

// revision returns the current revision.
func (s *Store) revision(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	response, err := s.kv.Get(ctx, policy.MarkerKey)
	if err != nil {
		return 0, fmt.Errorf("reading the revision of etcd: %w", err)
	}
	return response.Header.Revision, nil
}

// compacted reports whether etcd has compacted the revision. A watch from a compacted revision
// fails immediately; a watch from a future revision waits.
func (s *Store) compacted(ctx context.Context, revision int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	_, err := s.kv.Get(ctx, policy.MarkerKey, clientv3.WithRev(revision))
	if errors.Is(err, rpctypes.ErrCompacted) {
		return true, nil
	}
	if errors.Is(err, rpctypes.ErrFutureRev) {
		err = nil
	}
	return false, err
}

// checksums returns the checksums of all objects, by id.
func (s *Store) checksums(ctx context.Context) (map[string]checksum, error) {
	found := map[string]checksum{}
	err := s.each(ctx, func(id string, value []byte) error {
		found[id] = sha256.Sum256(value)
		return nil
	})
	return found, err
}

// each calls visit with the id and the stored form of every object.
func (s *Store) each(ctx context.Context, visit func(id string, value []byte) error) error {
	for _, resource := range cluster.BatchResources {
		prefix := s.key(resource) + "/"
		for from, end := prefix, clientv3.GetPrefixRangeEnd(prefix); ; {
			response, err := s.page(ctx, from, end)
			if err != nil {
				return fmt.Errorf("reading %s in etcd: %w", resource, err)
			}
			for _, kv := range response.Kvs {
				if err := visit(strings.TrimPrefix(string(kv.Key), s.prefix+"/"), kv.Value); err != nil {
					return err
				}
			}
			if !response.More {
				break
			}
			from = string(response.Kvs[len(response.Kvs)-1].Key) + "\x00"
		}
	}
	return nil
}

// value returns the stored form of an object, or nil if there is none.
func (s *Store) value(ctx context.Context, id string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	response, err := s.kv.Get(ctx, s.key(id))
	if err != nil {
		return nil, fmt.Errorf("reading %s in etcd: %w", id, err)
	}
	if len(response.Kvs) == 0 {
		return nil, nil
	}
	return response.Kvs[0].Value, nil
}

func (s *Store) page(ctx context.Context, from, end string) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	return s.kv.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(cluster.PageSize))
}

// write stores objects in as few requests as etcd's limits allow.
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

// errNoFence is returned for writes of an operation that has not shown that it may write.
var errNoFence = errors.New("neither the marker nor the freeze is held")

// commit fails and writes nothing if the fence was changed.
func (s *Store) commit(ctx context.Context, operations []clientv3.Op) error {
	if s.fence == nil {
		return errNoFence
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	held := clientv3.Compare(clientv3.ModRevision(s.fence.key), "=", s.fence.revision)
	response, err := s.kv.Txn(ctx).If(held).Then(operations...).Commit()
	if err != nil {
		return fmt.Errorf("writing to etcd: %w", err)
	}
	if !response.Succeeded {
		return s.fence.lost
	}
	return nil
}

// bindingID returns the id of a ValidatingAdmissionPolicyBinding.
func bindingID(name string) string { return "validatingadmissionpolicybindings/" + name }

// checkBinding fails if the etcd does not have the binding at its resource version, which is the
// revision of its key. It does not decode the value, which may be encrypted.
func (s *Store) checkBinding(ctx context.Context, name, resourceVersion string) (fence, error) {
	f := fence{key: s.key(bindingID(name))}
	revision, err := strconv.ParseInt(resourceVersion, 10, 64)
	if err != nil {
		return f, fmt.Errorf("the resource version of ValidatingAdmissionPolicyBinding %s: %w", name, err)
	}
	f.revision = revision
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	response, err := s.kv.Get(ctx, f.key, clientv3.WithKeysOnly())
	switch {
	case err != nil:
		return f, fmt.Errorf("reading %s in etcd: %w", f.key, err)
	case len(response.Kvs) == 0:
		return f, fmt.Errorf("this etcd has no key %s: use the --etcd-prefix of kube-apiserver, which must store ValidatingAdmissionPolicyBindings in its --etcd-servers", f.key)
	case response.Kvs[0].ModRevision != revision:
		return f, fmt.Errorf("%s in etcd is at revision %d, and kube-apiserver returns it at %d", f.key, response.Kvs[0].ModRevision, revision)
	}
	return f, nil
}

// holdFreeze allows writes as long as the freeze's binding has the resource version.
func (s *Store) holdFreeze(ctx context.Context, resourceVersion string) error {
	f, err := s.checkBinding(ctx, policy.FreezeName, resourceVersion)
	if err != nil {
		return err
	}
	f.lost = fmt.Errorf("the freeze was lifted or changed: %w", errNotHeld)
	s.fence = &f
	return nil
}
