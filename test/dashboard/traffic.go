// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
	"github.com/batchgate/batchgate/test/framework"
)

const (
	namespace = "reports"
	jobs      = 40 // that exist during the whole recording
)

// traffic is what the users of a small cluster do: they scale, suspend and label Jobs, and some of them
// try changes that the gate denies or warns about.
type traffic struct {
	jobs  batchclient.JobInterface
	user  batchclient.JobInterface // for a user with the ClusterRole edit
	grant func(context.Context, string, v1alpha1.Action, ...string) error
}

// newTraffic creates what the users need.
func newTraffic(ctx context.Context, cluster *framework.Cluster) (*traffic, error) {
	const developer = "developer"
	kubectl, err := cluster.KubectlAs(developer)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubectl.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	user, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	policies, err := policyclient.NewForConfig(cluster.Config)
	if err != nil {
		return nil, err
	}
	t := &traffic{
		jobs: cluster.Client.BatchV1().Jobs(namespace),
		user: user.BatchV1().Jobs(namespace),
		grant: func(ctx context.Context, name string, action v1alpha1.Action, fields ...string) error {
			_, err := policies.JobUpdatePolicies().Create(ctx, &v1alpha1.JobUpdatePolicy{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: v1alpha1.JobUpdatePolicySpec{
					NamespaceSelector: &metav1.LabelSelector{},
					JobSelector:       &metav1.LabelSelector{},
					Fields:            fields,
					Action:            action,
				},
			}, metav1.CreateOptions{})
			return err
		},
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := cluster.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: developer},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: developer}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
	}
	if _, err := cluster.Client.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	for i := range jobs {
		job := framework.NewJob(jobName(i), framework.Hold, func(job *batchv1.Job) { job.Spec.Completions = ptr.To[int32](100) })
		if _, err := t.jobs.Create(ctx, job, metav1.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	cronJob := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly"},
		Spec:       batchv1.CronJobSpec{Schedule: "0 3 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: framework.NewJob("").Spec}},
	}
	if _, err := cluster.Client.BatchV1().CronJobs(namespace).Create(ctx, cronJob, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if err := t.grant(ctx, "suspend", v1alpha1.Allow, "spec.suspend"); err != nil {
		return nil, err
	}
	return t, t.grant(ctx, "annotations", v1alpha1.Warn, `metadata.annotations["example.com/*"]`, "spec.activeDeadlineSeconds")
}

func jobName(n int) string { return fmt.Sprintf("report-%02d", n%jobs) }

// activity is something that a client does repeatedly.
type activity struct {
	// rate returns how often it happens per second. The argument is the number of minutes so far.
	rate func(minutes float64) float64
	do   func(ctx context.Context, n int) error
}

// run sends requests until ctx is canceled.
func (t *traffic) run(ctx context.Context) error {
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, a := range t.activities() {
		group.Go(func() error {
			for n := 0; ; {
				rate := a.rate(time.Since(began).Minutes())
				// An activity with the rate 0 waits.
				pause := time.Second
				if rate > 0 {
					pause = time.Duration(float64(time.Second) / rate)
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(min(pause, 20*time.Second)):
				}
				if rate <= 0 {
					continue
				}
				err := a.do(ctx, n)
				if n++; err != nil && ctx.Err() == nil && !expected(err) {
					return err
				}
			}
		})
	}
	for range 8 {
		group.Go(func() error { return t.watch(ctx) })
	}
	return group.Wait()
}

// expected reports whether an error is part of the traffic: a denied update, or a conflict.
func expected(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err)
}

func (t *traffic) activities() []activity {
	patch := func(of batchclient.JobInterface, format string, subresources ...string) func(context.Context, int) error {
		return func(ctx context.Context, n int) error {
			_, err := of.Patch(ctx, jobName(n), types.MergePatchType, fmt.Appendf(nil, format, n), metav1.PatchOptions{}, subresources...)
			return err
		}
	}
	always := func(rate float64) func(float64) float64 { return func(float64) float64 { return rate } }
	wave := func(low, high, minutes float64) func(float64) float64 {
		return func(at float64) float64 { return low + (high-low)*(1-math.Cos(2*math.Pi*at/minutes))/2 }
	}
	between := func(from, to, rate float64) func(float64) float64 {
		return func(at float64) float64 {
			if at < from || at > to {
				return 0
			}
			return rate
		}
	}
	return []activity{
		{wave(2, 6, 4), func(ctx context.Context, n int) error {
			return patch(t.user, fmt.Sprintf(`{"spec": {"parallelism": %d}, "metadata": {"labels": {"example.com/round": "%%d"}}}`, 1+n/jobs%3))(ctx, n)
		}},
		{wave(0.2, 1, 3), patch(t.user, `{"metadata": {"annotations": {"example.com/ticket": "R-%d"}}}`)},
		{always(0.2), func(ctx context.Context, n int) error {
			return patch(t.user, fmt.Sprintf(`{"spec": {"suspend": %t}, "metadata": {"labels": {"example.com/n": "%%d"}}}`, n%2 == 0))(ctx, n/2)
		}},
		{always(0.1), patch(t.user, `{"spec": {"backoffLimit": 1%d}}`)},
		{between(3, 5.5, 1.5), patch(t.user, `{"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "example.com/work:%d"}]}}}}`)},
		{between(4, 7, 0.5), patch(t.user, `{"spec": {"activeDeadlineSeconds": 8640%d}}`)},
		{between(6.5, 7.5, 0.8), patch(t.jobs, `{"metadata": {"finalizers": ["example.com/f-%d"]}}`)},
		{wave(3, 8, 5), func(ctx context.Context, n int) error {
			_, err := t.user.Get(ctx, jobName(n), metav1.GetOptions{})
			return err
		}},
		{wave(0.2, 1, 2), func(ctx context.Context, _ int) error {
			_, err := t.user.List(ctx, metav1.ListOptions{})
			return err
		}},
		{wave(0.1, 0.8, 3.5), t.runShortJob},
		{between(5, 6, 0.04), func(ctx context.Context, n int) error {
			return t.grant(ctx, fmt.Sprintf("team-%d", n), v1alpha1.Allow, "spec.backoffLimit")
		}},
	}
}

// runShortJob creates a Job that finishes in a moment and is then deleted.
func (t *traffic) runShortJob(ctx context.Context, n int) error {
	job := framework.NewJob(fmt.Sprintf("short-%d", n), func(job *batchv1.Job) { job.Spec.TTLSecondsAfterFinished = ptr.To[int32](30) })
	_, err := t.user.Create(ctx, job, metav1.CreateOptions{})
	return err
}

// watch watches Jobs until ctx is canceled.
func (t *traffic) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		watch, err := t.user.Watch(ctx, metav1.ListOptions{})
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
		for range watch.ResultChan() {
		}
	}
	return nil
}
