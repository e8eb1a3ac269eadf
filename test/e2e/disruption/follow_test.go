package disruption

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// follower watches the Jobs of the drill through kube-apiserver, and resumes where its watch
// ends, from the last resource version that it has seen.
type follower struct {
	d *drill
	// last is the resource version to resume from.
	last string

	mu sync.Mutex
	// ends are how many watches have ended in order, broken are those that have not.
	ends   int
	broken []error
	// lists are how often it was too late to resume, as it is after a restart of all replicas.
	lists int
	// added is how often a Job was said to be new, by name.
	added map[string]int
}

// follow starts a follower, which ends with the drill's test.
func (d *drill) follow() *follower {
	d.t.Helper()
	list, err := d.Client.BatchV1().Jobs(d.namespace).List(d.t.Context(), metav1.ListOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	f := &follower{d: d, last: list.ResourceVersion, added: map[string]int{}}
	var running sync.WaitGroup
	d.t.Cleanup(running.Wait) // the context of the test ends before
	running.Go(func() { f.run(d.t.Context()) })
	return f
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errTooLate) {
			err = f.list(ctx)
		}
		f.mu.Lock()
		if err == nil {
			f.ends++
		} else {
			f.broken = append(f.broken, err)
		}
		f.mu.Unlock()
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

var errTooLate = errors.New("the resource version to resume from is too old")

// list does what informers do where they cannot resume.
func (f *follower) list(ctx context.Context) error {
	list, err := f.d.Client.BatchV1().Jobs(f.d.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	f.last = list.ResourceVersion
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	for _, job := range list.Items {
		f.added[job.Name] = 1
	}
	return nil
}

// watch returns nil where a watch that was begun has ended in order.
func (f *follower) watch(ctx context.Context) error {
	options := metav1.ListOptions{Watch: true, ResourceVersion: f.last}
	stream, err := f.d.Client.BatchV1().RESTClient().Get().Namespace(f.d.namespace).Resource("jobs").
		SetHeader("Accept", "application/json").VersionedParams(&options, scheme.ParameterCodec).Stream(ctx)
	if err != nil {
		return fmt.Errorf("resuming from %s: %w", f.last, err)
	}
	defer stream.Close()
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event metav1.WatchEvent
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return fmt.Errorf("%q: %w", lines.Bytes(), err)
		}
		if event.Type == string(watch.Error) {
			var status metav1.Status
			if err := json.Unmarshal(event.Object.Raw, &status); err == nil && status.Reason == metav1.StatusReasonExpired {
				return errTooLate
			}
			return fmt.Errorf("an error event: %s", event.Object.Raw)
		}
		var job batchv1.Job
		if err := json.Unmarshal(event.Object.Raw, &job); err != nil {
			return err
		}
		f.last = job.ResourceVersion
		if event.Type == string(watch.Added) {
			f.mu.Lock()
			f.added[job.Name]++
			f.mu.Unlock()
		}
	}
	return lines.Err()
}

// sawAll returns an error until it has been told of each Job that the load has left, once.
func (f *follower) sawAll(l *load) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range l.writers {
		for name := range w.counts {
			if times := f.added[name]; times != 1 {
				return fmt.Errorf("the watch, resumed %d times, has shown %s as new %d times", f.ends+len(f.broken), name, times)
			}
		}
	}
	return nil
}

// sawMore returns a check that fails until it has been told of some more Jobs than now.
func (f *follower) sawMore(more int) func() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	want := len(f.added) + more
	return func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.added) < want {
			return fmt.Errorf("%d Jobs were created, want %d", len(f.added), want)
		}
		return nil
	}
}
