// Package parity asks kube-apiserver and Batchgate the same and compares the answers byte for
// byte: the status, the headers, the body, and what etcd holds then. One control plane is asked
// three times: native, taken over, and native again. The first and the last must agree, which
// shows that no more is replaced than what differs from run to run; the second may differ in
// what differences_test.go lists. No controller runs meanwhile.
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

// patience bounds everything that is waited for, on a busy machine.
const patience = 2 * time.Minute

var (
	cluster *framework.Cluster
	etcd    *clientv3.Client

	// What was seen while v1.batch was kube-apiserver's, Batchgate's, and given back.
	native, takenOver, rolledBack *run
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
	if err := prepare(ctx); err != nil {
		return err
	}
	return askThreeTimes(ctx)
}

// askThreeTimes fills the three runs.
func askThreeTimes(ctx context.Context) (err error) {
	if native, err = newRun(ctx, "native"); err != nil {
		return err
	}
	if err := cluster.TakeOver(ctx); err != nil {
		return err
	}
	if err := awaitSelfLink(ctx, true); err != nil {
		return err
	}
	if takenOver, err = newRun(ctx, "taken over"); err != nil {
		return err
	}
	if err := cluster.RollBack(ctx); err != nil {
		return err
	}
	if err := awaitSelfLink(ctx, false); err != nil {
		return err
	}
	rolledBack, err = newRun(ctx, "rolled back")
	return err
}

// awaitSelfLink waits until a Job is served by Batchgate, which alone says where it is, or by
// kube-apiserver.
func awaitSelfLink(ctx context.Context, want bool) error {
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		raw, err := cluster.Client.BatchV1().RESTClient().Get().Namespace(witness.Namespace).Resource("jobs").Name(witness.Name).Do(ctx).Raw()
		return err == nil && strings.Contains(string(raw), `"selfLink"`) == want, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for a Job to be served with a selfLink (%t): %w", want, err)
	}
	return nil
}
