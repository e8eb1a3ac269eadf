package disruption

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/utils/ptr"
)

const (
	writers = 4
	// countLabel holds how often a writer has patched a Job.
	countLabel = "drill.batchgate.io/count"
)

// load is writers that create, patch and delete Jobs, which run to their end, until it is
// stopped.
type load struct {
	d       *drill
	stop    chan struct{}
	running sync.WaitGroup
	writers []*writer
}

// startLoad starts the writers.
func (d *drill) startLoad() *load {
	l := &load{d: d, stop: make(chan struct{})}
	for id := range writers {
		w := &writer{id: id, jobs: d.Client.BatchV1().Jobs(d.namespace), counts: map[string]string{}}
		l.writers = append(l.writers, w)
		l.running.Go(func() { w.run(d.t.Context(), l.stop) })
	}
	return l
}

// outcome is what came of the requests of a load.
type outcome struct {
	// requests were answered, failures of them were not at first; the longest time that one
	// took to succeed is longest.
	requests, failures int
	longest            time.Duration
	// errors are the first answers of the failures.
	errors []error
}

// finish stops the writers, and waits until what etcd has is what they have written, and no
// Pod is left without its Job.
func (l *load) finish(etcdURL string) outcome {
	l.d.t.Helper()
	all := l.end(openEtcd(l.d.t, []string{etcdURL}, "", "", ""))
	// A kubelet tries again what etcd has refused; the fake one does when it lists anew.
	if err := errors.Join(l.d.Kwok.Stop(), l.d.Kwok.Start()); err != nil {
		l.d.t.Fatal(err)
	}
	l.d.eventually("have no Pod without its Job", l.d.checkOrphans)
	return all
}

// end stops the writers, and waits until what etcd has is what they have written, and the others.
func (l *load) end(etcd *clientv3.Client, others ...string) outcome {
	l.d.t.Helper()
	close(l.stop)
	l.running.Wait()
	all := outcome{}
	want := map[string]string{}
	for _, name := range others {
		want[name] = ""
	}
	for _, w := range l.writers {
		if w.err != nil {
			l.d.t.Errorf("a writer gave up: %v", w.err)
		}
		for name, count := range w.counts {
			want[name] = count
		}
		all.requests += w.requests
		all.failures += w.failures
		all.longest = max(all.longest, w.longest)
		all.errors = append(all.errors, w.errors...)
	}
	l.d.t.Logf("%d requests, %d of them not answered at first, the longest took %s", all.requests, all.failures, all.longest.Round(time.Millisecond))
	if all.requests < 100 {
		l.d.t.Errorf("only %d requests were made: that is no load", all.requests)
	}
	l.d.eventually("have the right Jobs in etcd", func() error { return l.d.checkStored(etcd, want) })
	return all
}

// writer keeps account of what must be there. Each request is sent again until it succeeds.
type writer struct {
	outcome

	id   int
	jobs batchclient.JobInterface
	// counts are the labels of the Jobs that must be there, by name.
	counts map[string]string
	err    error
}

func (w *writer) run(ctx context.Context, stop <-chan struct{}) {
	for i := 0; w.err == nil; i++ {
		select {
		case <-stop:
			return
		default:
		}
		name := fmt.Sprintf("drill-%d-%d", w.id, i)
		w.do("create "+name, apierrors.IsAlreadyExists, func() error {
			_, err := w.jobs.Create(ctx, newJob(name), metav1.CreateOptions{})
			return err
		})
		for n := range 3 {
			count := fmt.Sprint(n)
			patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, countLabel, count)
			w.do("patch "+name, nil, func() error {
				_, err := w.jobs.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
				return err
			})
			w.counts[name] = count
		}
		if i%3 == 0 {
			background := metav1.DeletePropagationBackground
			w.do("delete "+name, apierrors.IsNotFound, func() error {
				return w.jobs.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background})
			})
			delete(w.counts, name)
		}
	}
}

// do sends a request until it succeeds. Once it has failed, done says of an error that it had
// an effect all the same.
func (w *writer) do(what string, done func(error) bool, send func() error) {
	if w.err != nil {
		return
	}
	began := time.Now()
	w.requests++
	for failed := false; ; failed = true {
		err := send()
		if err == nil || failed && done != nil && done(err) {
			break
		}
		if !failed {
			w.failures++
			w.errors = append(w.errors, fmt.Errorf("%s: %w", what, err))
		}
		if !retriable(err) || time.Since(began) > patience {
			w.err = fmt.Errorf("%s: %w", what, err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.longest = max(w.longest, time.Since(began))
}

// retriable reports whether an answer says that the request may be sent again.
func retriable(err error) bool {
	return apierrors.IsServiceUnavailable(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) || etcdTrouble(err) ||
		strings.Contains(err.Error(), "moved to another etcd: try again") || strings.Contains(err.Error(), "does not proxy requests to Batchgate yet: try again") // an import
}

// newJob returns a Job that ends by itself.
func newJob(name string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			Parallelism: ptr.To[int32](1),
			Completions: ptr.To[int32](1),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "main", Image: "example.com/work:1"}},
			}},
		},
	}
}

// storedJobs returns the Jobs of the drill's namespace in an etcd, by name.
func (d *drill) storedJobs(etcd *clientv3.Client) (map[string]*batchv1.Job, error) {
	prefix := "/registry/jobs/" + d.namespace + "/"
	response, err := etcd.Get(d.t.Context(), prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	decoder := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	jobs := map[string]*batchv1.Job{}
	for _, kv := range response.Kvs {
		obj, _, err := decoder.Decode(kv.Value, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kv.Key, err)
		}
		jobs[strings.TrimPrefix(string(kv.Key), prefix)] = obj.(*batchv1.Job)
	}
	return jobs, nil
}

// checkStored compares the Jobs in an etcd, and their labels, with those that must be there.
func (d *drill) checkStored(etcd *clientv3.Client, want map[string]string) error {
	jobs, err := d.storedJobs(etcd)
	if err != nil {
		return err
	}
	var wrong []string
	for name, job := range jobs {
		if count, expected := want[name]; !expected || job.Labels[countLabel] != count {
			wrong = append(wrong, fmt.Sprintf("%s with the label %q, want %q", name, job.Labels[countLabel], count))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 || len(jobs) != len(want) {
		return fmt.Errorf("%d Jobs are stored, want %d; wrong are %q", len(jobs), len(want), wrong)
	}
	return nil
}

// checkOrphans returns an error while there are Pods whose Job is gone.
func (d *drill) checkOrphans() error {
	pods, err := d.Client.CoreV1().Pods(d.namespace).List(d.t.Context(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	jobs, err := d.Client.BatchV1().Jobs(d.namespace).List(d.t.Context(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	uids := map[types.UID]bool{}
	for _, job := range jobs.Items {
		uids[job.UID] = true
	}
	lost := slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool {
		owner := metav1.GetControllerOf(&pod)
		return owner != nil && uids[owner.UID]
	})
	if len(lost) > 0 {
		pod := lost[0]
		return fmt.Errorf("%d of %d Pods have lost their Job, among them %s: phase %s, deleted at %s, finalizers %q", len(lost), len(pods.Items), pod.Name, pod.Status.Phase, pod.DeletionTimestamp, pod.Finalizers)
	}
	return nil
}
