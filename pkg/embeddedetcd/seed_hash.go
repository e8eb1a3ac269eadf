// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.uber.org/zap"
)

// errOtherData means that a member's data does not come from an equal seed.
var errOtherData = errors.New("its data does not come from an etcd-seed with the same revision")

// hashData returns the hash of the keys in a data directory whose etcd does not run.
func hashData(directory string) (hash mvcc.KeyValueHash, err error) {
	db := backend.NewDefaultBackend(zap.NewNop(), datadir.ToBackendFileName(directory))
	defer func() { err = errors.Join(err, db.Close()) }()
	store := mvcc.NewStore(zap.NewNop(), db, &lease.FakeLessor{}, mvcc.StoreConfig{})
	defer store.Close()
	hash, _, err = store.HashStorage().HashByRev(0)
	return hash, err
}

// checkSeeded asks one member, which may lack a quorum, whether its data comes from an equal seed. It
// returns errOtherData if the data is different. unwritten means that no client can have written to the
// member, so a revision higher than the seed's also means different data.
func checkSeeded(ctx context.Context, client *http.Client, peerURLs types.URLs, seed mvcc.KeyValueHash, unwritten bool) error {
	var errs []error
	for _, url := range peerURLs {
		err := checkSeededAt(ctx, client, url.String(), seed, unwritten)
		if err == nil || errors.Is(err, errOtherData) {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func checkSeededAt(ctx context.Context, client *http.Client, peerURL string, seed mvcc.KeyValueHash, unwritten bool) error {
	body, err := json.Marshal(etcdserverpb.HashKVRequest{Revision: seed.Revision})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, peerURL+etcdserver.PeerHashKVPath, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxHashResponse))
	if err != nil {
		return fmt.Errorf("GET %s: %w", request.URL, err)
	}
	text := string(body)
	switch {
	case response.StatusCode == http.StatusBadRequest &&
		(strings.Contains(text, mvcc.ErrCompacted.Error()) || strings.Contains(text, mvcc.ErrFutureRev.Error())):
		return fmt.Errorf("%w: %s", errOtherData, strings.TrimSpace(text))
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("GET %s: %s: %s", request.URL, response.Status, strings.TrimSpace(text))
	}
	var hash etcdserverpb.HashKVResponse
	if err := json.Unmarshal(body, &hash); err != nil {
		return fmt.Errorf("GET %s: %w", request.URL, err)
	}
	if hash.Hash != seed.Hash || hash.CompactRevision != seed.CompactRevision || unwritten && hash.Header.GetRevision() > seed.Revision {
		return errOtherData
	}
	return nil
}
