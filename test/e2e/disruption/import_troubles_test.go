package disruption

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// resumeAfterKills leaves behind what imports leave that are killed, and leaves writes refused.
func (d *ownEtcd) resumeAfterKills() {
	d.t.Helper()
	freeze := func() {
		d.t.Helper()
		client := d.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "batchgate-freeze"},
			Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: "batchgate-freeze", ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
		}
		if _, err := client.Create(d.t.Context(), binding, metav1.CreateOptions{}); err != nil {
			d.t.Fatal(err)
		}
	}
	// After the APIService was changed.
	freeze()
	if err := d.TakeOver(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	if _, _, err := d.Kubectl().Run(d.t.Context(), "annotate", "apiservice", "v1.batch", "batchgate.io/etcd=importing"); err != nil {
		d.t.Fatal(err)
	}
	d.plugin(2, d.importArgs()...).says("an import was interrupted or is running", "nothing was changed")
	d.plugin(1, "status").says("an import has not ended", "FROZEN")
	d.plugin(0, "rollback").says("points to kube-apiserver", "writes are allowed again")
	if err := d.frozen(false); err != nil {
		d.t.Error(err)
	}
	// Before that.
	freeze()
	d.plugin(2, d.importArgs()...).says("if none is running, give --resume", "nothing was changed")
	d.plugin(1, "rollback").says("if none is running, give --resume")
	if err := d.frozen(true); err != nil {
		d.t.Error(err)
	}
}

// giveBackByHand applies the patch that is a rollback elsewhere, and has the mistake mended.
func (d *ownEtcd) giveBackByHand() {
	d.t.Helper()
	if err := d.RollBack(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	d.eventually("be served by kube-apiserver, which lets nobody write", func() error {
		_, err := d.Client.BatchV1().Jobs(d.namespace).Create(d.t.Context(), newJob("lost"), metav1.CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), "does not proxy requests") {
			return fmt.Errorf("the answer is %w", err)
		}
		return nil
	})
	d.plugin(1, "rollback", "--resume").says("run kubectl batchgate import, which takes over again")
	d.plugin(1, "status").says("kube-apiserver shows outdated ones: run kubectl batchgate import")
	d.plugin(0, d.importArgs("--wait-for-controllers=0")...).says("was rolled back by hand", "nothing is copied")
	if err := complete(d.job("new")); err != nil {
		d.t.Error(err)
	}
}

// restartAPIServer restarts kube-apiserver while Jobs are created. It still has the Jobs of before
// in its own etcd, and knows for a moment of no other server. What it answers then must not be
// lost.
func (d *ownEtcd) restartAPIServer() {
	d.t.Helper()
	stop := make(chan struct{})
	var running sync.WaitGroup
	var mu sync.Mutex
	var created []string
	answers := map[string]int{}
	for worker := range writers {
		running.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				job := newJob(fmt.Sprintf("restart-%d-%d", worker, i))
				job.Spec.Suspend = ptr.To(true)
				_, err := d.Client.BatchV1().Jobs(d.namespace).Create(d.t.Context(), job, metav1.CreateOptions{})
				mu.Lock()
				switch {
				case err == nil:
					created = append(created, job.Name)
				case strings.Contains(err.Error(), "does not proxy requests"):
					answers["refused by the guard"]++
				default:
					answers["other errors"]++
				}
				mu.Unlock()
			}
		})
	}
	for range 3 {
		if err := d.APIServer.Stop(); err != nil {
			d.t.Fatal(err)
		}
		if err := d.StartAPIServer(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
		d.eventually("have Jobs created again", func() error {
			mu.Lock()
			before := len(created)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			if len(created) == before {
				return errors.New("none is")
			}
			return nil
		})
	}
	close(stop)
	running.Wait()
	stored, err := d.storedJobs(d.own)
	if err != nil {
		d.t.Fatal(err)
	}
	lost := 0
	for _, name := range created {
		if stored[name] == nil {
			lost++
		}
	}
	d.t.Logf("%d Jobs were created, and %d of them lost; other answers: %v", len(created), lost, answers)
	if lost > 0 || len(created) < 10 {
		d.t.Errorf("%d Jobs of %d were lost", lost, len(created))
	}
}
