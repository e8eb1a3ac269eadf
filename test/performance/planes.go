// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

// The users who send requests.
const (
	admin    = "admin"            // in the group system:masters
	withRole = "user with a role" // has the ClusterRole benchmark in the namespaces
)

// userName is the name of the user with a role.
const userName = "developer"

// plane is a control plane: etcd, kube-apiserver, and Batchgate in front of Jobs if it is gated.
type plane struct {
	*framework.Cluster
	gated    bool
	etcd     *clientv3.Client
	withRole *rest.Config
	// webhookPID is the process of the webhook, or 0.
	webhookPID int
	// directory holds the files of the plane.
	directory string
}

// startPlane starts a control plane in a directory of its own. If it is gated, Batchgate serves its Jobs.
func startPlane(ctx context.Context, parent, name string, binaries framework.Binaries, gated bool, options framework.ClusterOptions) (*plane, error) {
	p := &plane{gated: gated, directory: filepath.Join(parent, name)}
	if err := os.Mkdir(p.directory, 0o700); err != nil {
		return nil, err
	}
	// kube-apiserver has no audit log here, so Batchgate must not have one either.
	options.BatchgateArgs = append(options.BatchgateArgs, "--audit-policy-file=", "--audit-log-path=")
	var err error
	if p.Cluster, err = framework.StartCluster(ctx, p.directory, binaries, options); err != nil {
		return p, err
	}
	if p.etcd, err = clientv3.New(clientv3.Config{Endpoints: []string{p.EtcdURL()}}); err != nil {
		return p, err
	}
	kubectl, err := p.KubectlAs(userName)
	if err != nil {
		return p, err
	}
	if p.withRole, err = clientcmd.BuildConfigFromFlags("", kubectl.Kubeconfig); err != nil {
		return p, err
	}
	if !gated {
		return p, nil
	}
	if err := p.Install(ctx); err != nil {
		return p, err
	}
	return p, p.TakeOver(ctx)
}

// stopControllers stops everything but the servers, so that nothing else uses them.
func (p *plane) stopControllers() error {
	for _, process := range []*framework.Process{p.Kwok, p.Scheduler, p.ControllerManager} {
		if err := process.Stop(); err != nil {
			return err
		}
	}
	return nil
}

// populate creates a namespace, the RoleBinding of the user with a role, and Jobs.
func (p *plane) populate(ctx context.Context, namespace string, jobs int) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := p.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return err
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: userName},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: userName}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "benchmark"},
	}
	if _, err := p.Client.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return err
	}
	return times(jobs, func(i int) error {
		_, err := p.Client.BatchV1().Jobs(namespace).Create(ctx, newJob(jobName(i)), metav1.CreateOptions{})
		return err
	})
}

// createRole creates the ClusterRole that populate binds. The role edit has no jobs/status.
func (p *plane) createRole(ctx context.Context) error {
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "benchmark"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{batchv1.GroupName}, Resources: []string{"jobs", "jobs/status"}, Verbs: []string{"*"}},
	}}
	_, err := p.Client.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
	return err
}

// config returns the client configuration of a user, for kube-apiserver or for Batchgate's port.
func (p *plane) config(user string, direct bool) *rest.Config {
	config := p.Config
	if user == withRole {
		config = p.withRole
	}
	if !direct {
		return config
	}
	bypass := p.DirectConfig()
	bypass.TLSClientConfig.CertData, bypass.TLSClientConfig.KeyData = config.TLSClientConfig.CertData, config.TLSClientConfig.KeyData
	return bypass
}

// revision returns the revision of etcd, which counts its writes.
func (p *plane) revision(ctx context.Context) (int64, error) {
	status, err := p.etcd.Status(ctx, p.EtcdURL())
	if err != nil {
		return 0, err
	}
	return status.Header.Revision, nil
}

func (p *plane) stop() error {
	var errs []error
	if p.etcd != nil {
		errs = append(errs, p.etcd.Close())
	}
	if p.Cluster != nil {
		errs = append(errs, p.Cluster.Stop())
	}
	return errors.Join(errs...)
}

// versions asks the servers of a gated plane for their versions.
func (p *plane) versions(ctx context.Context) ([]string, error) {
	var versions []string
	for name, config := range map[string]*rest.Config{"kube-apiserver": p.Config, "batchgate-apiserver": p.DirectConfig()} {
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
	status, err := p.etcd.Status(ctx, p.EtcdURL())
	if err != nil {
		return nil, err
	}
	versions = append(versions, "etcd "+status.Version)
	slices.Sort(versions)
	return versions, nil
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
