// Package disruption tests what an operator goes through: each drill has a control plane of its
// own, takes parts of it away under load, and reads from etcd, past all servers, what is left.
package disruption

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/test/framework"
)

// patience bounds everything that is waited for, on a busy machine.
const patience = 2 * time.Minute

var binaries framework.Binaries

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "batchgate-drills-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if binaries, err = framework.Build(context.Background(), dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// drill is a control plane of a test's own.
type drill struct {
	*framework.Cluster

	t *testing.T
	// namespace is for the test's Jobs.
	namespace string
}

// start starts a control plane, in which Batchgate is not installed. All of it ends with the
// test.
func start(t *testing.T, features framework.Features) *drill {
	t.Helper()
	cluster, err := framework.StartClusterWith(t.Context(), t.TempDir(), binaries, features)
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(cluster.LogEnds())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &drill{Cluster: cluster, t: t, namespace: "drill"}
	d.createNamespace()
	return d
}

// in returns the drill as a test of its own sees it that has a namespace of its own.
func (d *drill) in(t *testing.T, namespace string) *drill {
	t.Helper()
	other := &drill{Cluster: d.Cluster, t: t, namespace: namespace}
	other.createNamespace()
	return other
}

func (d *drill) createNamespace() {
	d.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: d.namespace}}
	if _, err := d.Client.CoreV1().Namespaces().Create(d.t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		d.t.Fatal(err)
	}
	d.eventually("have a service account for Pods", func() error {
		_, err := d.Client.CoreV1().ServiceAccounts(d.namespace).Get(d.t.Context(), "default", metav1.GetOptions{})
		return err
	})
}

// install installs Batchgate on the etcd of the control plane.
func (d *drill) install() {
	d.t.Helper()
	if err := d.Install(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// eventually waits until check returns nil.
func (d *drill) eventually(what string, check func() error) {
	d.t.Helper()
	framework.Eventually(d.t, patience, what, check)
}

func (d *drill) create(job *batchv1.Job) {
	d.t.Helper()
	if _, err := d.Client.BatchV1().Jobs(d.namespace).Create(d.t.Context(), job, metav1.CreateOptions{}); err != nil {
		d.t.Fatal(err)
	}
}

// job returns the Job as it is now.
func (d *drill) job(name string) *batchv1.Job {
	d.t.Helper()
	job, err := d.Client.BatchV1().Jobs(d.namespace).Get(d.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	return job
}

// finished waits until the Job is complete.
func (d *drill) finished(name string) {
	d.t.Helper()
	d.eventually("see "+name+" complete", func() error { return complete(d.job(name)) })
}

// complete returns an error while the Job is not.
func complete(job *batchv1.Job) error {
	for _, c := range job.Status.Conditions {
		if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("the status is %+v", job.Status)
}

// podUIDs returns the UIDs of the Pods of a Job by name.
func (d *drill) podUIDs(job string) map[string]types.UID {
	d.t.Helper()
	pods, err := d.Client.CoreV1().Pods(d.namespace).List(d.t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
	if err != nil {
		d.t.Fatal(err)
	}
	uids := map[string]types.UID{}
	for _, pod := range pods.Items {
		uids[pod.Name] = pod.UID
	}
	return uids
}

// letFinish lets held Pods of a Job end, those too that it makes meanwhile, until it is complete.
func (d *drill) letFinish(name string) {
	d.t.Helper()
	d.eventually("see "+name+" complete", func() error {
		_, _, err := d.Kubectl().Run(d.t.Context(), "--namespace="+d.namespace, "annotate", "pods", "--selector="+batchv1.JobNameLabel+"="+name, "test.batchgate.io/hold-")
		if err != nil {
			return err
		}
		return complete(d.job(name))
	})
}
