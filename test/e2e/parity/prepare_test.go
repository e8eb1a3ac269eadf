package parity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	// namespace is where everything is, but for what needs a namespace of its own. It has as
	// many letters as the one of upstream's testdata, for which it is put.
	namespace = "surface-corpus"

	listed     = "surface-listed"  // for lists of everything in it
	leaving    = "surface-leaving" // is being deleted, and without a controller stays so
	full       = "surface-full"    // has a quota that is used up
	restricted = "surface-safe"    // warns of Pods that are not restricted

	// nobody is a user without rights.
	nobody = "surface-nobody"
	// anonymous is one without a certificate.
	anonymous = "anonymous"
)

// witness is a Job that no run touches.
var witness = batchv1.Job{
	ObjectMeta: metav1.ObjectMeta{Namespace: "surface-witness", Name: "witness"},
	Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers:    []corev1.Container{{Name: "main", Image: "example.com/work:1"}},
	}}},
}

var (
	// began and firstRevision are when all runs may have begun.
	began         time.Time
	firstRevision int64
)

// prepare installs Batchgate, stops all that acts by itself, and makes the namespaces.
func prepare(ctx context.Context) error {
	if err := cluster.Install(ctx); err != nil {
		return err
	}
	for _, p := range []*framework.Process{cluster.Kwok, cluster.Scheduler, cluster.ControllerManager} {
		if err := p.Stop(); err != nil {
			return err
		}
	}
	began = time.Now()
	revision, err := currentRevision(ctx)
	if err != nil {
		return err
	}
	// Batchgate has begun to watch before that.
	firstRevision = revision / 2
	for name, labels := range map[string]map[string]string{
		namespace: nil, listed: nil, leaving: nil, full: nil, witness.Namespace: nil,
		restricted: {"pod-security.kubernetes.io/warn": "restricted"},
	} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if _, err := cluster.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if err := cluster.Client.CoreV1().Namespaces().Delete(ctx, leaving, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := useUp(ctx); err != nil {
		return err
	}
	if _, err := cluster.Client.BatchV1().Jobs(witness.Namespace).Create(ctx, &witness, metav1.CreateOptions{}); err != nil {
		return err
	}
	// So that the first revision is gone, whenever kube-apiserver compacts by itself.
	if _, err := etcd.Compact(ctx, revision); err != nil {
		return err
	}
	// Its watch caches are to begin after the first revisions, as Batchgate's do.
	if err := cluster.APIServer.Stop(); err != nil {
		return err
	}
	if err := cluster.StartAPIServer(ctx); err != nil {
		return err
	}
	kubectl, err := cluster.KubectlAs(nobody)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubectl.Kubeconfig)
	if err != nil {
		return err
	}
	if clients, err = newClients(map[string]*rest.Config{"": cluster.Config, nobody: config, anonymous: rest.AnonymousClientConfig(cluster.Config)}); err != nil {
		return err
	}
	if upstreamCorpus, err = readUpstream(); err != nil {
		return err
	}
	return repair(ctx)
}

// useUp makes a quota that allows no Jobs. There is no controller to say what it allows.
func useUp(ctx context.Context) error {
	quotas := cluster.Client.CoreV1().ResourceQuotas(full)
	hard := corev1.ResourceList{"count/jobs.batch": resource.MustParse("0")}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	quota, err := quotas.Create(ctx, quota, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	quota.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: hard}
	_, err = quotas.UpdateStatus(ctx, quota, metav1.UpdateOptions{})
	return err
}

// clear removes what a run has left, past the servers: what is being deleted waits for
// controllers otherwise. It waits until the servers have seen it.
func clear(ctx context.Context) error {
	for _, resource := range []string{"jobs", "cronjobs"} {
		for _, ns := range []string{namespace, listed, restricted, full} {
			if _, err := etcd.Delete(ctx, "/registry/"+resource+"/"+ns+"/", clientv3.WithPrefix()); err != nil {
				return err
			}
		}
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		jobs, err := cluster.Client.BatchV1().Jobs("").List(ctx, metav1.ListOptions{})
		cronJobs, err2 := cluster.Client.BatchV1().CronJobs("").List(ctx, metav1.ListOptions{})
		if err := errors.Join(err, err2); err != nil {
			return false, err
		}
		return len(jobs.Items) == 1 && len(cronJobs.Items) == 0, nil
	})
}

// stored returns what etcd holds of an object, nil for nothing.
func stored(ctx context.Context, resource, ns, name string) (*mvccpb.KeyValue, error) {
	key := strings.Join([]string{"/registry", resource, ns, name}, "/")
	response, err := etcd.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	if response.Count == 0 {
		return nil, nil
	}
	return response.Kvs[0], nil
}

// currentRevision returns the one that etcd has come to.
func currentRevision(ctx context.Context) (int64, error) {
	response, err := etcd.Get(ctx, "any", clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("reading the revision of etcd: %w", err)
	}
	return response.Header.Revision, nil
}
