// Package disruption tests what an operator goes through: each drill has a control plane of its
// own, takes parts of it away under load, and reads from etcd, past all servers, what is left.
package disruption

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// patience bounds everything that is waited for, on a busy machine.
const patience = 2 * time.Minute

var binaries framework.Binaries

func TestMain(m *testing.M) { framework.Main(m, framework.MainOptions{Binaries: &binaries}) }

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
	cluster, err := framework.StartTestCluster(t, binaries, features)
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
	d.jobs().CreateNamespace(metav1.ObjectMeta{Name: d.namespace})
}

// jobs returns the helpers for the Jobs of the namespace.
func (d *drill) jobs() framework.Jobs {
	return framework.Jobs{T: d.t, Client: d.Client, Namespace: d.namespace, Timeout: patience}
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
	d.jobs().Create(job)
}

// job returns the Job as it is now.
func (d *drill) job(name string) *batchv1.Job {
	d.t.Helper()
	return d.jobs().Get(name)
}

// finished waits until the Job is complete.
func (d *drill) finished(name string) {
	d.t.Helper()
	d.jobs().Wait(name, batchv1.JobComplete)
}
