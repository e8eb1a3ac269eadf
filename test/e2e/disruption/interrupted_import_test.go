// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/test/framework"
)

// leaveInterruptedImports creates the state that killed imports leave behind and checks the plugin's
// output about it. When it returns, the freeze exists and kube-apiserver serves v1.batch.
func (s *dedicatedEtcd) leaveInterruptedImports() {
	s.t.Helper()
	// Killed after the import has changed the APIService.
	freeze := s.createFreeze()
	s.takeOver()
	if err := s.kubectl("annotate", "apiservice", "v1.batch", "batchgate.io/etcd=importing", "batchgate.io/freeze="+freeze); err != nil {
		s.t.Fatal(err)
	}
	s.plugin(2, s.importArgs()...).has("an import was interrupted or is running", "nothing was changed")
	s.plugin(1, "status").has("an import is not finished", "FROZEN")
	s.plugin(0, "rollback").has("points to kube-apiserver", "writes are allowed again")
	if err := s.checkFrozen(false); err != nil {
		s.t.Error(err)
	}
	// Killed before that.
	s.createFreeze()
	s.plugin(2, s.importArgs()...).has("if none is running, set --resume", "nothing was changed")
	s.plugin(1, "rollback").has("if none is running, set --resume")
	if err := s.checkFrozen(true); err != nil {
		s.t.Error(err)
	}
}

// createFreeze creates a freeze that no plugin will delete. It returns the value of the annotation
// batchgate.io/freeze for it.
func (s *scenario) createFreeze() string {
	s.t.Helper()
	p, binding := cluster.Freeze.Objects()
	client := s.Client.AdmissionregistrationV1()
	p, err := client.ValidatingAdmissionPolicies().Create(s.t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	if binding, err = client.ValidatingAdmissionPolicyBindings().Create(s.t.Context(), binding, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	return cluster.DenialID(p, binding)
}

// guardMessage is part of kube-apiserver's error for a write that the guard denies.
const guardMessage = "does not proxy requests"

// rollBackByHand applies the rollback patch, which is complete only with a shared etcd. It checks
// that the guard then denies writes, and lets the plugin repair the mistake.
func (s *dedicatedEtcd) rollBackByHand() {
	s.t.Helper()
	if err := s.RollBack(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("have the guard of kube-apiserver deny writes", func() error {
		_, err := s.Client.BatchV1().Jobs(s.namespace).Create(s.t.Context(), framework.NewJob("lost"), metav1.CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), guardMessage) {
			return fmt.Errorf("the error is %w", err)
		}
		return nil
	})
	s.plugin(1, "rollback", "--resume").has("run kubectl batchgate import --etcd-servers=<etcd of Batchgate>, which takes over again")
	s.plugin(1, "status").has("kube-apiserver shows outdated ones: run kubectl batchgate import --etcd-servers=<etcd of Batchgate>")
	s.plugin(0, s.importArgs("--wait-for-controllers=0")...).has("was rolled back by hand", "nothing is copied")
	if err := s.checkComplete("new"); err != nil {
		s.t.Error(err)
	}
}

// pauseAfterCreation limits how many Jobs restartAPIServerUnderLoad creates. A fast machine created so many
// that the Job controller, which lists all of them after its restart, did not reach another Job in time.
const pauseAfterCreation = 50 * time.Millisecond

// restartAPIServerUnderLoad restarts a kube-apiserver several times while writers create Jobs, half of them
// at this kube-apiserver. Just after its start, it does not proxy yet and still has the Jobs from before
// the import in its etcd. It must not store any Job there.
func (s *dedicatedEtcd) restartAPIServerUnderLoad() {
	s.t.Helper()
	restarted, err := s.APIServers[0].Client()
	if err != nil {
		s.t.Fatal(err)
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	var mu sync.Mutex
	var created []string
	failures := map[string]int{}
	for id := range writerCount {
		client := kubernetes.Interface(s.Client)
		if id%2 == 0 {
			client = restarted
		}
		running.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				job := framework.NewJob(fmt.Sprintf("restart-%d-%d", id, i))
				job.Spec.Suspend = ptr.To(true)
				_, err := client.BatchV1().Jobs(s.namespace).Create(s.t.Context(), job, metav1.CreateOptions{})
				mu.Lock()
				switch {
				case err == nil:
					created = append(created, job.Name)
				case strings.Contains(err.Error(), guardMessage):
					failures["denied by the guard"]++
				default:
					failures["other errors"]++
				}
				mu.Unlock()
				if err == nil {
					time.Sleep(pauseAfterCreation)
				} else {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for range 3 {
		if err := s.APIServer.Stop(); err != nil {
			s.t.Fatal(err)
		}
		if err := s.StartAPIServer(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		s.eventually("create Jobs again", func() error {
			mu.Lock()
			before := len(created)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			if len(created) == before {
				return errors.New("no Job was created within a second")
			}
			return nil
		})
	}
	close(stop)
	running.Wait()
	stored, err := s.storedJobs(s.dedicated)
	if err != nil {
		s.t.Fatal(err)
	}
	lost := 0
	for _, name := range created {
		if stored[name] == nil {
			lost++
		}
	}
	s.t.Logf("%d Jobs were created, and %d of them were lost; failures: %v", len(created), lost, failures)
	if lost > 0 || len(created) < 10 {
		s.t.Errorf("%d of %d Jobs were lost", lost, len(created))
	}
}
