// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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
	// namespace is the default namespace of the requests. It is as long as "namespaceValue", which
	// it replaces in upstream's protobuf test data.
	namespace = "parity-objects"

	listedNamespace      = "parity-listed"
	terminatingNamespace = "parity-terminating" // stays, because no namespace controller runs
	quotaNamespace       = "parity-quota"       // has an exhausted quota
	podSecurityNamespace = "parity-restricted"  // warns about Pods that violate the restricted level

	// Users: unprivileged has a certificate but no permissions, anonymous has no certificate.
	unprivileged = "parity-unprivileged"
	anonymous    = "anonymous"
)

// probeJob shows which server serves batch/v1, see awaitSelfLink. No request changes it.
var probeJob = batchv1.Job{
	ObjectMeta: metav1.ObjectMeta{Namespace: "parity-probe", Name: "probe"},
	Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers:    []corev1.Container{{Name: "main", Image: "example.com/work:1"}},
	}}},
}

var (
	// Values from before startTime and firstRevision are equal in all recordings.
	startTime     time.Time
	firstRevision int64
)

// prepareCluster installs Batchgate, stops the controllers, and creates namespaces and clients.
func prepareCluster(ctx context.Context) error {
	if err := cluster.Install(ctx); err != nil {
		return err
	}
	for _, p := range []*framework.Process{cluster.Kwok, cluster.Scheduler, cluster.ControllerManager} {
		if err := p.Stop(); err != nil {
			return err
		}
	}
	startTime = time.Now()
	revision, err := etcdRevision(ctx)
	if err != nil {
		return err
	}
	// Batchgate started its watches before the current revision.
	firstRevision = revision / 2
	for name, labels := range map[string]map[string]string{
		namespace: nil, listedNamespace: nil, terminatingNamespace: nil, quotaNamespace: nil, probeJob.Namespace: nil,
		podSecurityNamespace: {"pod-security.kubernetes.io/warn": "restricted"},
	} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if _, err := cluster.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if err := cluster.Client.CoreV1().Namespaces().Delete(ctx, terminatingNamespace, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := exhaustQuota(ctx); err != nil {
		return err
	}
	if _, err := cluster.Client.BatchV1().Jobs(probeJob.Namespace).Create(ctx, &probeJob, metav1.CreateOptions{}); err != nil {
		return err
	}
	// Compact now, so that the first revision is gone in all recordings. kube-apiserver compacts only
	// every 5 minutes.
	if _, err := etcd.Compact(ctx, revision); err != nil {
		return err
	}
	// Restart kube-apiserver, so that its watch caches start after the first revisions, as
	// Batchgate's do.
	if err := cluster.APIServer.Stop(); err != nil {
		return err
	}
	if err := cluster.StartAPIServer(ctx); err != nil {
		return err
	}
	kubectl, err := cluster.KubectlAs(unprivileged)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubectl.Kubeconfig)
	if err != nil {
		return err
	}
	if clients, err = newClients(map[string]*rest.Config{"": cluster.Config, unprivileged: config, anonymous: rest.AnonymousClientConfig(cluster.Config)}); err != nil {
		return err
	}
	if upstreamFiles, err = readUpstreamFiles(); err != nil {
		return err
	}
	return repairUpstreamObjects(ctx)
}

// exhaustQuota creates a quota that allows no Jobs. It writes the status too, because the quota
// controller does not run.
func exhaustQuota(ctx context.Context) error {
	quotas := cluster.Client.CoreV1().ResourceQuotas(quotaNamespace)
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

// clearEtcd deletes the Jobs and CronJobs of the previous recording and waits until the server has
// seen it. It deletes them in etcd, because finalizers would block a deletion through the API.
func clearEtcd(ctx context.Context) error {
	for _, resource := range []string{"jobs", "cronjobs"} {
		for _, ns := range []string{namespace, listedNamespace, podSecurityNamespace, quotaNamespace} {
			if _, err := etcd.Delete(ctx, "/registry/"+resource+"/"+ns+"/", clientv3.WithPrefix()); err != nil {
				return err
			}
		}
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, waitTimeout, true, func(ctx context.Context) (bool, error) {
		jobs, err := cluster.Client.BatchV1().Jobs("").List(ctx, metav1.ListOptions{})
		cronJobs, err2 := cluster.Client.BatchV1().CronJobs("").List(ctx, metav1.ListOptions{})
		if err := errors.Join(err, err2); err != nil {
			return false, err
		}
		return len(jobs.Items) == 1 && len(cronJobs.Items) == 0, nil
	})
}

// readStored returns nil if etcd does not hold the object.
func readStored(ctx context.Context, resource, ns, name string) (*mvccpb.KeyValue, error) {
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

// etcdRevision returns the current revision of etcd.
func etcdRevision(ctx context.Context) (int64, error) {
	response, err := etcd.Get(ctx, "any", clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("reading the current revision of etcd: %w", err)
	}
	return response.Header.Revision, nil
}
