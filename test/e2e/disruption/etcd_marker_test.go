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
)

// marker is a Job, apart from those of the load, that is watched from before a trouble to
// after it.
type marker struct {
	d       *drill
	jobs    batchclient.JobInterface
	name    string
	watch   watch.Interface
	version string
	changes int
	// closed is how often the server has ended the watch.
	closed int
}

// newMarker creates the Job, which never runs, and opens the watch.
func (d *drill) newMarker() *marker {
	d.t.Helper()
	m := &marker{d: d, jobs: d.Client.BatchV1().Jobs(metav1.NamespaceDefault), name: "marker"}
	job := newJob(m.name)
	job.Spec.Suspend = ptr.To(true)
	created, err := m.jobs.Create(d.t.Context(), job, metav1.CreateOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	m.version = created.ResourceVersion
	m.open()
	d.t.Cleanup(func() { m.watch.Stop() })
	m.change()
	return m
}

// open opens the watch where it was closed, as informers do.
func (m *marker) open() {
	m.d.t.Helper()
	m.d.eventually("open a watch", func() (err error) {
		m.watch, err = m.jobs.Watch(m.d.t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + m.name, ResourceVersion: m.version})
		return err
	})
}

// reopen opens the watch after the server has ended it, with the event of an error or without
// one. A server that does not know the version any more says so, and the watch begins with
// what is there.
func (m *marker) reopen(last watch.Event) {
	m.d.t.Helper()
	m.watch.Stop()
	m.closed++
	if last.Type == watch.Error {
		err := apierrors.FromObject(last.Object)
		m.d.t.Logf("the watch was ended with %s", answer(err))
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			m.version = ""
		}
	}
	m.open()
}

// change changes the Job, and waits until the watch has told of it. A watch that is silent
// fails the drill; one that the server has closed is opened again.
func (m *marker) change() {
	m.d.t.Helper()
	m.changes++
	count := fmt.Sprint(m.changes)
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, countLabel, count)
	m.d.eventually("change a Job", func() error {
		_, err := m.jobs.Patch(m.d.t.Context(), m.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	})
	deadline := time.After(patience)
	for {
		select {
		case event, open := <-m.watch.ResultChan():
			job, ok := event.Object.(*batchv1.Job)
			if !open || !ok {
				m.reopen(event)
				continue
			}
			m.version = job.ResourceVersion
			if job.Labels[countLabel] == count {
				m.d.t.Logf("the watch has told of change %s, and was ended %d times", count, m.closed)
				return
			}
		case <-deadline:
			m.d.t.Fatalf("the watch has said nothing of change %s for %s", count, patience)
		}
	}
}

// runs waits until the Job controller, which has held its watches all the time, has run a new
// Job to its end.
func (d *drill) runs(name string) {
	d.t.Helper()
	jobs := d.Client.BatchV1().Jobs(metav1.NamespaceDefault)
	if _, err := jobs.Create(d.t.Context(), newJob(name), metav1.CreateOptions{}); err != nil {
		d.t.Fatal(err)
	}
	d.eventually("run a Job to its end", func() error {
		job, err := jobs.Get(d.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if job.Status.CompletionTime == nil {
			return fmt.Errorf("its status is %+v", job.Status)
		}
		return nil
	})
}
