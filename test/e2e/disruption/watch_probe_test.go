// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

// watchProbe is a suspended Job, separate from the load, with a watch that is open before, during
// and after a disruption.
type watchProbe struct {
	s     *scenario
	jobs  batchclient.JobInterface
	name  string
	watch watch.Interface
	// version is the resource version to resume from. It is empty to start from the current state.
	version string
	changes int
	// closed counts how often the server ended the watch.
	closed int
}

// newWatchProbe creates the Job, opens the watch and checks that it works.
func (s *scenario) newWatchProbe() *watchProbe {
	s.t.Helper()
	p := &watchProbe{s: s, jobs: s.Client.BatchV1().Jobs(metav1.NamespaceDefault), name: "watched"}
	job := framework.NewJob(p.name)
	job.Spec.Suspend = ptr.To(true)
	created, err := p.jobs.Create(s.t.Context(), job, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	p.version = created.ResourceVersion
	p.open()
	s.t.Cleanup(func() { p.watch.Stop() })
	p.change()
	return p
}

// change changes the Job and waits for the event. If the server closes the watch, change resumes
// it. If the watch stays open without the event, the test fails.
func (p *watchProbe) change() {
	p.s.t.Helper()
	p.changes++
	count := fmt.Sprint(p.changes)
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, countLabel, count)
	p.s.eventually("change the watched Job", func() error {
		_, err := p.jobs.Patch(p.s.t.Context(), p.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	})
	deadline := time.After(waitTimeout)
	for {
		select {
		case event, open := <-p.watch.ResultChan():
			job, ok := event.Object.(*batchv1.Job)
			if !open || !ok {
				p.reopen(event)
				continue
			}
			p.version = job.ResourceVersion
			if job.Labels[countLabel] == count {
				p.s.t.Logf("the watch has seen change %s; the server has closed it %d times", count, p.closed)
				return
			}
		case <-deadline:
			p.s.t.Fatalf("the watch has not seen change %s for %s", count, waitTimeout)
		}
	}
}

// open opens the watch at the last version, as informers do.
func (p *watchProbe) open() {
	p.s.t.Helper()
	p.s.eventually("open a watch", func() (err error) {
		p.watch, err = p.jobs.Watch(p.s.t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + p.name, ResourceVersion: p.version})
		return err
	})
}

// reopen opens the watch again after the server closed it. The last event is an error event or
// empty. If the server no longer knows the version, the watch starts from the current state.
func (p *watchProbe) reopen(last watch.Event) {
	p.s.t.Helper()
	p.watch.Stop()
	p.closed++
	if last.Type == watch.Error {
		err := apierrors.FromObject(last.Object)
		p.s.t.Logf("the server closed the watch with %s", describe(err))
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			p.version = ""
		}
	}
	p.open()
}
