package disruption

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // the defaults of batch/v1
	_ "k8s.io/kubernetes/pkg/apis/core/install"  // and of Pod templates
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

// ownEtcd is a drill whose Batchgate has an etcd of its own, as artifacts/overlays/dedicated-etcd makes
// it.
type ownEtcd struct {
	*drill

	files *framework.OwnEtcd
	// own and shared are Batchgate's etcd and the cluster's.
	own, shared *clientv3.Client
}

// startOwnEtcd starts a control plane and Batchgate, with a Job that runs until it is released,
// and others. Nothing is imported.
func startOwnEtcd(t *testing.T) *ownEtcd {
	t.Helper()
	d := start(t, framework.Features{})
	files, err := d.InstallOwnEtcd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := newJob("held")
	held.Spec.Parallelism, held.Spec.Completions = ptr.To[int32](2), ptr.To[int32](3)
	held.Spec.Template.Annotations = map[string]string{"test.batchgate.io/hold": ""}
	d.create(held)
	suspended := newJob("suspended")
	suspended.Spec.Suspend = ptr.To(true)
	d.create(suspended)
	d.create(newJob("finished"))
	cron := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "yearly"},
		Spec:       batchv1.CronJobSpec{Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: newJob("").Spec}},
	}
	if _, err := d.Client.BatchV1().CronJobs(d.namespace).Create(t.Context(), cron, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	d.finished("finished")
	d.eventually("have two Pods run", func() error {
		if ready := d.job("held").Status.Ready; ready == nil || *ready != 2 {
			return fmt.Errorf("the status is %+v", d.job("held").Status)
		}
		return nil
	})
	return &ownEtcd{
		drill: d, files: files,
		own:    openEtcd(t, files.Endpoints, files.CAFile, files.CertFile, files.KeyFile),
		shared: openEtcd(t, []string{d.EtcdURL()}, "", "", ""),
	}
}

// A Job controller and a garbage collector that nobody restarts go on with Jobs that were moved
// while they ran.
func TestImportUnderLoadMovesEveryJobAsItIs(t *testing.T) {
	t.Parallel() // most of it is the wait for a watch to end
	d := startOwnEtcd(t)
	held, pods := d.job("held"), d.podUIDs("held")
	d.plugin(2, "import", "--etcd-servers="+d.EtcdURL()).says("the server does not use this etcd", "nothing was changed")
	d.plugin(2, d.importArgs("--etcd-servers="+d.EtcdURL())...).says("are members of different etcds", "nothing was changed")
	d.plugin(2, "takeover").says("nothing was changed")
	d.plugin(0, d.importArgs("--dry-run")...).says("would freeze writes")

	load := d.startLoad()
	done := make(chan string, 1)
	go func() {
		output, code := d.runPlugin(d.importArgs()...)
		done <- fmt.Sprintf("%d\n%s", code, output)
	}()
	d.eventually("freeze", func() error { return d.frozen(true) })
	d.eventually("be frozen no more", func() error { return d.frozen(false) })
	d.eventually("be served by Batchgate", func() error {
		_, err := d.Client.BatchV1().Jobs(d.namespace).Patch(t.Context(), "held", "application/merge-patch+json", []byte(`{"spec":{"backoffLimit":1}}`), metav1.PatchOptions{})
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.backoffLimit: Forbidden: may not be updated") {
			return fmt.Errorf("not gated: %w", err)
		}
		return nil
	})
	moved, err := d.storedJobs(d.own)
	if err != nil {
		t.Fatal(err)
	}
	d.eventually("have writers write after the move too", func() error {
		now, err := d.storedJobs(d.own)
		if err == nil && len(now) < len(moved)+10 {
			err = fmt.Errorf("there are %d Jobs after %d", len(now), len(moved))
		}
		return err
	})
	load.end(d.own, "held", "suspended", "finished")
	d.checkMoved(10)

	output := ""
	select {
	case output = <-done:
	case <-time.After(15 * time.Minute):
		t.Fatal("the controllers do not see new Jobs")
	}
	t.Log(output)
	if !strings.HasPrefix(output, "0\n") || !strings.Contains(output, "they see new Jobs") {
		t.Fatal("the import failed")
	}
	d.plugin(0, d.importArgs()...).says("from the dedicated etcd already")
	if diff := cmp.Diff(pods, d.podUIDs("held")); diff != "" {
		t.Errorf("the Pods of the Job are others (-before +after):\n%s", diff)
	}
	d.plugin(0, "status").says("the dedicated etcd")
	d.letFinish("held")
	after := d.job("held")
	if after.UID != held.UID || !after.CreationTimestamp.Equal(&held.CreationTimestamp) || !after.Status.StartTime.Equal(held.Status.StartTime) || after.Status.Succeeded != 3 {
		t.Errorf("the Job was\n%+v\nand is\n%+v", held, after)
	}
	d.eventually("have no Pod without its Job", d.checkOrphans)
}

func TestRollbackFromAnOwnEtcdMovesJobsBackOrIsRefused(t *testing.T) {
	t.Parallel()
	d := startOwnEtcd(t)
	d.resumeAfterKills()
	d.plugin(1, d.importArgs("--resume", "--wait-for-controllers=5s")...).says("unfreeze", "Restart kube-controller-manager")
	if err := errors.Join(d.ControllerManager.Stop(), d.ControllerManager.Start()); err != nil {
		t.Fatal(err)
	}
	d.plugin(0, d.importArgs()...).says("they see new Jobs")
	d.create(newJob("new"))
	d.finished("new")
	d.restartAPIServer()
	held, pods := d.job("held"), d.podUIDs("held")

	d.plugin(2, "rollback").says("would run finished Jobs again", "--etcd-servers", "nothing was changed")
	d.plugin(2, append([]string{"rollback"}, d.etcdArgs()...)...).says("the server does not use this etcd", "nothing was changed")
	if _, err := d.Client.BatchV1().Jobs(d.namespace).Get(t.Context(), "new", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	d.giveBackByHand()
	back := []string{"rollback", "--etcd-servers=" + d.EtcdURL()}
	d.plugin(0, append(back, "--dry-run")...).says("would freeze writes")
	d.plugin(1, append(back, "--wait-for-controllers=5s")...).says("Restart kube-controller-manager")
	if err := errors.Join(d.ControllerManager.Stop(), d.Batchgate.Stop(), d.ControllerManager.Start()); err != nil {
		t.Fatal(err)
	}
	d.plugin(0, back...).says("by kube-apiserver already", "they see new Jobs")
	if after := d.job("held"); after.UID != held.UID {
		t.Errorf("the Job is another one: %s", cmp.Diff(held, after))
	}
	if diff := cmp.Diff(pods, d.podUIDs("held")); diff != "" {
		t.Errorf("the Pods of the Job are others (-before +after):\n%s", diff)
	}
	d.letFinish("held")
	d.finished("new")
	d.eventually("have no Pod without its Job", d.checkOrphans)
	if err := d.StartBatchgate(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.plugin(2, d.importArgs()...).says("--overwrite to lose them", "nothing was changed")
}

// An etcd that counts on from the cluster's revisions would leave controllers blind.
func TestImportToAnEtcdOfLowRevisionsIsRefused(t *testing.T) {
	t.Parallel()
	d := start(t, framework.Features{})
	d.install() // on the etcd of the cluster, whose revisions are what they are
	d.create(newJob("pi"))
	d.plugin(2, "import", "--etcd-servers="+d.EtcdURL()).says("it has 1 Jobs and CronJobs from an earlier time", "would silently see nothing", "--bump-revision", "nothing was changed")
	if err := d.frozen(false); err != nil {
		t.Error(err)
	}
}

// frozen returns an error if the policy that refuses writes is there, or is not.
func (d *drill) frozen(want bool) error {
	_, err := d.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(d.t.Context(), "batchgate-freeze", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if got := err == nil; got != want {
		return fmt.Errorf("writes are refused: %t", got)
	}
	return nil
}

// checkMoved compares what the cluster's etcd has, where nobody has written since the freeze,
// with what the own etcd had before Batchgate was let write. There must be some objects at least.
func (d *ownEtcd) checkMoved(least int) {
	d.t.Helper()
	before, err := values(d.t.Context(), d.shared, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	after, err := values(d.t.Context(), d.own, d.markedAt()-1)
	if err != nil {
		d.t.Fatal(err)
	}
	if len(before) < least {
		d.t.Errorf("only %d objects were moved", len(before))
	}
	if diff := cmp.Diff(before, after); diff != "" {
		d.t.Errorf("what was moved is not what there was (-cluster +own):\n%.2000s", diff)
	}
}

// values returns what an etcd has of Jobs and CronJobs at a revision, or has now, with the
// defaults that every server adds when it reads them.
func values(ctx context.Context, client *clientv3.Client, revision int64) (map[string]any, error) {
	found := map[string]any{}
	for _, prefix := range []string{"/registry/jobs/", "/registry/cronjobs/"} {
		response, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(revision))
		if err != nil {
			return nil, err
		}
		for _, kv := range response.Kvs {
			obj, _, err := legacyscheme.Codecs.UniversalDeserializer().Decode(kv.Value, nil, nil)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kv.Key, err)
			}
			legacyscheme.Scheme.Default(obj)
			found[string(kv.Key)] = obj
		}
	}
	return found, nil
}

// markedAt returns the revision at which the import was noted as done.
func (d *ownEtcd) markedAt() int64 {
	d.t.Helper()
	response, err := d.own.Get(d.t.Context(), "/batchgate.io/import")
	if err != nil || len(response.Kvs) != 1 || !strings.Contains(string(response.Kvs[0].Value), "serving") {
		d.t.Fatalf("the own etcd has no note of the import: %v %v", response, err)
	}
	return response.Kvs[0].ModRevision
}

// etcdArgs returns the flags by which the plugin reaches the own etcd.
func (d *ownEtcd) etcdArgs() []string {
	return []string{
		"--etcd-servers=" + strings.Join(d.files.Endpoints, ","),
		"--etcd-cafile=" + d.files.CAFile, "--etcd-certfile=" + d.files.CertFile, "--etcd-keyfile=" + d.files.KeyFile,
	}
}

// importArgs returns the arguments of an import to the own etcd.
func (d *ownEtcd) importArgs(args ...string) []string {
	return slices.Concat([]string{"import"}, d.etcdArgs(), args)
}
