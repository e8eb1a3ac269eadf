// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package parity sends the same requests to kube-apiserver and to Batchgate and compares the
// responses byte for byte: status code, headers, body, and the resulting bytes in etcd.
//
// TestMain records the responses of one control plane in three phases: before the takeover, after
// it, and after the rollback. The first and the last recording must be equal. This proves that the
// normalizer replaces everything that varies between runs. The second recording may differ only as
// differences_test.go lists. No controllers run during the recordings.
package parity

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/test/framework"
)

// waitTimeout is long enough for a busy machine.
const waitTimeout = 2 * time.Minute

var (
	cluster *framework.Cluster
	etcd    *clientv3.Client

	// The recordings before the takeover, after it, and after the rollback.
	native, takenOver, rolledBack *recording
)

func TestMain(m *testing.M) {
	framework.Main(m, framework.MainOptions{
		Cluster: &cluster,
		Setup:   setup,
		Finish:  func() error { return etcd.Close() },
	})
}

func setup(ctx context.Context, _ string) (err error) {
	if etcd, err = clientv3.New(clientv3.Config{Endpoints: cluster.EtcdURLs()}); err != nil {
		return err
	}
	if err := prepareCluster(ctx); err != nil {
		return err
	}
	return recordPhases(ctx)
}

func recordPhases(ctx context.Context) (err error) {
	if native, err = record(ctx, "native"); err != nil {
		return err
	}
	if err := cluster.TakeOver(ctx); err != nil {
		return err
	}
	if err := awaitSelfLink(ctx, true); err != nil {
		return err
	}
	if takenOver, err = record(ctx, "taken over"); err != nil {
		return err
	}
	if err := cluster.RollBack(ctx); err != nil {
		return err
	}
	if err := awaitSelfLink(ctx, false); err != nil {
		return err
	}
	rolledBack, err = record(ctx, "rolled back")
	return err
}

// awaitSelfLink waits until the probe Job has a selfLink or has none. Batchgate adds a selfLink,
// kube-apiserver does not, so this shows which server serves batch/v1.
func awaitSelfLink(ctx context.Context, want bool) error {
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, waitTimeout, true, func(ctx context.Context) (bool, error) {
		raw, err := cluster.Client.BatchV1().RESTClient().Get().Namespace(probeJob.Namespace).Resource("jobs").Name(probeJob.Name).Do(ctx).Raw()
		return err == nil && strings.Contains(string(raw), `"selfLink"`) == want, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the selfLink of the probe Job (want one: %t): %w", want, err)
	}
	return nil
}
