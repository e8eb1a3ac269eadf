package disruption

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/test/framework"
)

// notBuiltIn is v1.batch as it must be made by hand where kube-apiserver does not make it.
// TakeOver puts in the CA and the port.
const notBuiltIn = `{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.batch"},
	"spec": {"group": "batch", "version": "v1", "groupPriorityMinimum": 17400, "versionPriority": 15,
		"service": {"namespace": %q, "name": %q, "port": 443}}}`

// A kube-apiserver that has just been started answers batch/v1 by itself until its aggregator
// has read the APIServices, unless it does not serve batch/v1 at all. Who sends one forbidden
// patch after the other from the first moment finds no moment then.
func TestAKubeAPIServerWithoutBatchV1IsNeverUngated(t *testing.T) {
	d := start(t, framework.ClusterOptions{RuntimeConfig: "batch/v1=false"})
	d.install()
	manifest := fmt.Sprintf(notBuiltIn, framework.Namespace, framework.Name)
	if _, _, err := d.Kubectl().WithStdin(manifest).Run(t.Context(), "create", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	if err := d.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.createHeld("pi")
	for range 2 {
		if err := d.APIServer.Stop(); err != nil {
			t.Fatal(err)
		}
		accepted, refused := d.hammer("pi", func() {
			if err := d.StartAPIServer(t.Context()); err != nil {
				t.Error(err)
			}
			d.eventually("be gated", func() error { return d.gated("pi") })
		})
		t.Logf("%d forbidden patches were accepted, %d refused by the gate", accepted, refused)
		if accepted > 0 {
			t.Error("kube-apiserver has answered by itself")
		}
	}
	d.finish("pi")
}

// hammer sends forbidden patches, as dry runs, until during returns.
func (d *drill) hammer(job string, during func()) (accepted, refused int32) {
	ctx, cancel := context.WithCancel(d.t.Context())
	defer cancel()
	var yes, no atomic.Int32
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for ctx.Err() == nil {
				err := d.Client.BatchV1().RESTClient().Patch(types.MergePatchType).MaxRetries(0).
					Namespace(d.namespace).Resource("jobs").Name(job).Param("dryRun", "All").
					Body([]byte(`{"metadata":{"annotations":{"a":"b"}}}`)).Do(ctx).Error()
				if err == nil {
					yes.Add(1)
				} else if apierrors.IsInvalid(err) {
					no.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	during()
	cancel()
	running.Wait()
	return yes.Load(), no.Load()
}
