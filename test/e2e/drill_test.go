package e2e

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
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

	"github.com/batchgate/batchgate/pkg/takeover"
	"github.com/batchgate/batchgate/test/framework"
)

const (
	drillRounds  = 10
	drillWriters = 4
	// countLabel holds how often a writer has patched a Job.
	countLabel = "drill.batchgate.io/count"
)

// writer creates, patches and deletes Jobs until it is told to stop, and keeps account of what
// must be there. Each request is sent again until it succeeds.
type writer struct {
	id   int
	jobs batchclient.JobInterface
	// counts are the labels of the Jobs that must be there, by name.
	counts map[string]string
	// requests were answered, failures of them were not at first; the longest time that one
	// took to succeed is longest.
	requests, failures int
	longest            time.Duration
	err                error
}

func (w *writer) run(ctx context.Context, stop <-chan struct{}) {
	for i := 0; w.err == nil; i++ {
		select {
		case <-stop:
			return
		default:
		}
		name := fmt.Sprintf("drill-%d-%d", w.id, i)
		job := newJob(name, func(j *batchv1.Job) { delete(j.Spec.Template.Annotations, holdAnnotation) })
		w.do("create "+name, apierrors.IsAlreadyExists, func() error {
			_, err := w.jobs.Create(ctx, job, metav1.CreateOptions{})
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
		}
		retriable := apierrors.IsServiceUnavailable(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err)
		if !retriable || time.Since(began) > patience {
			w.err = fmt.Errorf("%s: %w", what, err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.longest = max(w.longest, time.Since(began))
}

// TestTakeoverAndRollbackUnderLoadLoseNoJob goes to and fro while Jobs are created, patched and
// deleted, and run. What must be there in the end is read from etcd.
func TestTakeoverAndRollbackUnderLoadLoseNoJob(t *testing.T) {
	s := disrupt(t)
	rolledBack(t)
	s.eventually("be served by kube-apiserver", func() error { return native(s) })
	s.run("delete", "job", "pi", "--wait")

	stop := make(chan struct{})
	var running sync.WaitGroup
	writers := make([]*writer, drillWriters)
	for i := range writers {
		writers[i] = &writer{id: i, jobs: cluster.Client.BatchV1().Jobs(s.namespace), counts: map[string]string{}}
		running.Go(func() { writers[i].run(t.Context(), stop) })
	}
	steps := s.switchToAndFro()
	close(stop)
	running.Wait()

	want := map[string]string{}
	requests, failures, longest := 0, 0, time.Duration(0)
	for _, w := range writers {
		if w.err != nil {
			t.Errorf("a writer gave up: %v", w.err)
		}
		for name, count := range w.counts {
			want[name] = count
		}
		requests, failures, longest = requests+w.requests, failures+w.failures, max(longest, w.longest)
	}
	t.Logf("%d switches, %d requests, %d of them not answered at first, the longest took %s", steps, requests, failures, longest.Round(time.Millisecond))
	if requests < 100 {
		t.Errorf("only %d requests were made: that is no load", requests)
	}
	s.eventually("have the right Jobs in etcd", func() error { return storedJobs(s, want) })
	s.eventually("have no Pod without its Job", func() error { return orphans(s) })
}

// switchToAndFro takes over and rolls back, and returns how often it has switched.
func (s session) switchToAndFro() int {
	s.t.Helper()
	api, err := takeover.NewCluster(cluster.Config)
	if err != nil {
		s.t.Fatal(err)
	}
	direct, err := url.Parse(cluster.DirectConfig().Host)
	if err != nil {
		s.t.Fatal(err)
	}
	port, err := strconv.Atoi(direct.Port())
	if err != nil {
		s.t.Fatal(err)
	}
	service := takeover.Service{Namespace: framework.Namespace, Name: framework.Name, Port: int32(port)}
	report := func(r takeover.Result) {
		if r.Error != "" {
			s.t.Errorf("%s: %s", r.Name, r.Error)
		}
	}
	ca := cluster.DirectConfig().CAData
	for range drillRounds {
		t := &takeover.Takeover{Cluster: api, Service: service, CABundle: ca, Report: report, Connect: func(ctx context.Context) (*takeover.Direct, error) {
			return api.Connect(ctx, direct.Host, service, ca)
		}}
		if err := t.Run(s.t.Context()); err != nil {
			s.t.Error(err)
		}
		if err := (&takeover.Rollback{Cluster: api, Report: report}).Run(s.t.Context()); err != nil {
			s.t.Error(err)
		}
	}
	return 2 * drillRounds
}

// storedJobs compares the Jobs in etcd, and their labels, with those that must be there.
func storedJobs(s session, want map[string]string) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{cluster.EtcdURL()}})
	if err != nil {
		return err
	}
	defer client.Close()
	prefix := "/registry/jobs/" + s.namespace + "/"
	response, err := client.Get(s.t.Context(), prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	decoder := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	var wrong []string
	for _, kv := range response.Kvs {
		obj, _, err := decoder.Decode(kv.Value, nil, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", kv.Key, err)
		}
		name := strings.TrimPrefix(string(kv.Key), prefix)
		count, expected := want[name]
		if got := obj.(*batchv1.Job).Labels[countLabel]; !expected || got != count {
			wrong = append(wrong, fmt.Sprintf("%s with the label %q, want %q", name, got, count))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 || len(response.Kvs) != len(want) {
		return fmt.Errorf("%d Jobs are stored, want %d; wrong are %q", len(response.Kvs), len(want), wrong)
	}
	return nil
}

// orphans returns an error while there are Pods whose Job is gone.
func orphans(s session) error {
	pods, err := cluster.Client.CoreV1().Pods(s.namespace).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	jobs, err := cluster.Client.BatchV1().Jobs(s.namespace).List(s.t.Context(), metav1.ListOptions{})
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
		return fmt.Errorf("%d of %d Pods have lost their Job", len(lost), len(pods.Items))
	}
	return nil
}
