// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/test/framework"
)

// namespace holds all Jobs.
const namespace = "benchmark"

// The users who send requests.
const (
	admin    = "admin"            // in the group system:masters
	withRole = "user with a role" // has the ClusterRole edit in the namespace
)

// userName is the name of the user with a role.
const userName = "developer"

// parts are the names of the parts to measure. Empty means all.
type parts []string

// String implements flag.Value.
func (p *parts) String() string { return strings.Join(*p, ",") }

// Set implements flag.Value.
func (p *parts) Set(value string) error {
	*p = strings.Split(value, ",")
	return nil
}

func (p parts) has(name string) bool { return len(p) == 0 || slices.Contains(p, name) }

// bench is the control plane to measure.
type bench struct {
	plan
	dir     string
	cluster *framework.Cluster
	etcd    *clientv3.Client
	webhook *exec.Cmd
	// webhookConfig has the webhook's URL and the CA of its certificate.
	webhookConfig struct {
		url string
		ca  []byte
	}
	// withRole authenticates as the user with a role.
	withRole *rest.Config
	// created and patched count requests. They make the names of created Jobs and the values of
	// patches unique.
	created, patched atomic.Int64
}

func (b *bench) start(ctx context.Context, binaries framework.Binaries) error {
	progress("starting the control plane")
	var err error
	// kube-apiserver has no audit log here, so Batchgate must not have one either.
	features := framework.ClusterOptions{BatchgateArgs: []string{"--audit-policy-file=", "--audit-log-path="}}
	if b.cluster, err = framework.StartCluster(ctx, b.dir, binaries, features); err != nil {
		return err
	}
	if err := b.cluster.Install(ctx); err != nil {
		return err
	}
	for _, p := range []*framework.Process{b.cluster.Kwok, b.cluster.Scheduler, b.cluster.ControllerManager} {
		if err := p.Stop(); err != nil {
			return err
		}
	}
	if b.etcd, err = clientv3.New(clientv3.Config{Endpoints: []string{b.cluster.EtcdURL()}}); err != nil {
		return err
	}
	if err := b.startWebhook(); err != nil {
		return err
	}
	kubectl, err := b.cluster.KubectlAs(userName)
	if err != nil {
		return err
	}
	if b.withRole, err = clientcmd.BuildConfigFromFlags("", kubectl.Kubeconfig); err != nil {
		return err
	}
	return b.populate(ctx)
}

// populate creates the namespace, the RoleBinding of the user with a role, and the Jobs.
func (b *bench) populate(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := b.cluster.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return err
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: userName},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: userName}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
	}
	if _, err := b.cluster.Client.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return err
	}
	progress("creating %d Jobs", b.jobs)
	for i := range b.jobs {
		if _, err := b.cluster.Client.BatchV1().Jobs(namespace).Create(ctx, newJob(jobName(i)), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// versions asks the servers for their versions.
func (b *bench) versions(ctx context.Context) ([]string, error) {
	var versions []string
	for name, config := range map[string]*rest.Config{"kube-apiserver": b.cluster.Config, "batchgate-apiserver": b.cluster.DirectConfig()} {
		client, err := discovery.NewDiscoveryClientForConfig(config)
		if err != nil {
			return nil, err
		}
		version, err := client.ServerVersion()
		if err != nil {
			return nil, err
		}
		versions = append(versions, name+" "+version.GitVersion)
	}
	status, err := b.etcd.Status(ctx, b.cluster.EtcdURL())
	if err != nil {
		return nil, err
	}
	versions = append(versions, "etcd "+status.Version)
	slices.Sort(versions)
	return versions, nil
}

func (b *bench) stop() error {
	var errs []error
	if b.webhook != nil {
		errs = append(errs, b.webhook.Process.Kill())
		_ = b.webhook.Wait()
	}
	if b.etcd != nil {
		errs = append(errs, b.etcd.Close())
	}
	if b.cluster != nil {
		errs = append(errs, b.cluster.Stop())
	}
	return errors.Join(errs...)
}

func jobName(i int) string { return fmt.Sprintf("job-%06d", i) }

// newJob returns a Job of typical size: a container with a command, some environment, resources and
// a volume.
func newJob(name string) *batchv1.Job {
	job := &batchv1.Job{}
	if err := yaml.UnmarshalStrict([]byte(jobManifest), job); err != nil {
		panic(err) // the manifest is a constant
	}
	job.Name = name
	return job
}

const jobManifest = `
metadata:
  labels: {app: report, team: data}
  annotations: {example.com/ticket: R-1}
spec:
  parallelism: 1
  completions: 1
  backoffLimit: 4
  ttlSecondsAfterFinished: 86400
  template:
    metadata:
      labels: {app: report, team: data}
    spec:
      restartPolicy: Never
      serviceAccountName: report
      containers:
      - name: main
        image: registry.example.com/report:1.4.2
        command: [report, --from=yesterday, --format=parquet]
        env:
        - {name: QUALITY, value: high}
        - {name: REGION, value: eu-1}
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: report, key: password}}}
        resources:
          requests: {cpu: 500m, memory: 1Gi}
          limits: {memory: 1Gi}
        volumeMounts:
        - {name: scratch, mountPath: /scratch}
      volumes:
      - {name: scratch, emptyDir: {sizeLimit: 1Gi}}
`

// progress prints the next step to standard error.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
