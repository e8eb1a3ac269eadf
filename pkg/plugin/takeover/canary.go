// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

const (
	canaryPrefix = "batchgate-canary-"
	// canaryCleanup bounds the deletion of the canaries, even if the command was interrupted.
	canaryCleanup = 30 * time.Second
	// canaryAge is the age at which a canary counts as left by a command that was killed.
	canaryAge = 10 * time.Minute
	// compareAttempts is how often a canary is read again because a controller changed it meanwhile.
	compareAttempts = 20
)

// canary checks that two servers store Jobs and CronJobs at the same place and in a form that both
// can read. It writes an object through each server and reads it through the other.
type canary struct {
	cluster   *cluster.Cluster
	namespace string
	kube      namedServer
	batchgate namedServer
}

type namedServer struct {
	cluster.Server
	name string
}

// canaryPermissions returns the permissions that the canary needs.
func canaryPermissions(namespace string) []authorizationv1.ResourceAttributes {
	var needed []authorizationv1.ResourceAttributes
	for _, resource := range cluster.BatchResources {
		for _, verb := range []string{"create", "get", "patch", "delete"} {
			needed = append(needed, authorizationv1.ResourceAttributes{Group: batchv1.GroupName, Resource: resource, Namespace: namespace, Verb: verb})
		}
	}
	return needed
}

func (c *canary) run(ctx context.Context) (string, error) {
	for _, s := range []namedServer{c.kube, c.batchgate} {
		if err := c.deleteLeftovers(ctx, s); err != nil {
			return "", fmt.Errorf("deleting the canaries of a command that was killed, through %s: %w", s.name, err)
		}
	}
	if err := runCanary(ctx, c, jobCanary); err != nil {
		return "", err
	}
	if err := runCanary(ctx, c, cronJobCanary); err != nil {
		return "", err
	}
	return "a Job and a CronJob in " + c.namespace + " were written and read through both servers, and deleted", nil
}

// deleteLeftovers deletes the canaries of a killed command. It leaves recent ones, whose command may
// still be running.
func (c *canary) deleteLeftovers(ctx context.Context, s namedServer) error {
	labeled := metav1.ListOptions{LabelSelector: policy.CanaryLabel}
	jobs, err := s.BatchV1().Jobs(c.namespace).List(ctx, labeled)
	if err != nil {
		return err
	}
	cronJobs, err := s.BatchV1().CronJobs(c.namespace).List(ctx, labeled)
	if err != nil {
		return err
	}
	left := func(obj metav1.Object) bool {
		return obj.GetLabels()[policy.CanaryLabel] != "" && strings.HasPrefix(obj.GetName(), canaryPrefix) &&
			time.Since(obj.GetCreationTimestamp().Time) > canaryAge
	}
	background := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}
	var errs []error
	for _, job := range jobs.Items {
		if left(&job) {
			errs = append(errs, s.BatchV1().Jobs(c.namespace).Delete(ctx, job.Name, background))
		}
	}
	for _, cronJob := range cronJobs.Items {
		if left(&cronJob) {
			errs = append(errs, s.BatchV1().CronJobs(c.namespace).Delete(ctx, cronJob.Name, background))
		}
	}
	return errors.Join(slices.DeleteFunc(errs, apierrors.IsNotFound)...)
}

// canaryKind is a resource, with T as the type of its objects.
type canaryKind[T metav1.Object] struct {
	kind    string
	object  func(namespace, name string) T
	clients func(s cluster.Server, namespace string) canaryClient[T]
}

// canaryClient is the part of a typed client that the canary uses.
type canaryClient[T metav1.Object] interface {
	Create(ctx context.Context, obj T, opts metav1.CreateOptions) (T, error)
	Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (T, error)
	Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error
}

var jobCanary = canaryKind[*batchv1.Job]{"Job", newCanaryJob, func(s cluster.Server, namespace string) canaryClient[*batchv1.Job] {
	return s.BatchV1().Jobs(namespace)
}}

var cronJobCanary = canaryKind[*batchv1.CronJob]{"CronJob", newCanaryCronJob, func(s cluster.Server, namespace string) canaryClient[*batchv1.CronJob] {
	return s.BatchV1().CronJobs(namespace)
}}

// newCanaryJob returns a Job that never runs, with a template that common policies allow.
func newCanaryJob(namespace, name string) *batchv1.Job {
	job := cluster.Canary()
	job.ObjectMeta = canaryMeta(namespace, name)
	job.Spec.Suspend = ptr.To(true)
	pod := &job.Spec.Template.Spec
	pod.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	pod.Containers[0].SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	return job
}

func newCanaryCronJob(namespace, name string) *batchv1.CronJob {
	return &batchv1.CronJob{
		ObjectMeta: canaryMeta(namespace, name),
		Spec: batchv1.CronJobSpec{
			Schedule: "0 0 1 1 *", Suspend: ptr.To(true),
			JobTemplate: batchv1.JobTemplateSpec{Spec: newCanaryJob(namespace, name).Spec},
		},
	}
}

func canaryMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{policy.CanaryLabel: "created"}}
}

// runCanary writes an object of the kind through kube-apiserver, then one through Batchgate, and
// always deletes both. Batchgate writes nothing unless it can read what kube-apiserver stores.
func runCanary[T metav1.Object](ctx context.Context, c *canary, kind canaryKind[T]) error {
	for _, order := range [][2]namedServer{{c.kube, c.batchgate}, {c.batchgate, c.kube}} {
		if err := runCanaryFrom(ctx, c, kind, order[0], order[1]); err != nil {
			return err
		}
	}
	return nil
}

// runCanaryFrom creates an object through the first server, changes it through the second, and
// compares what both return after each step.
func runCanaryFrom[T metav1.Object](ctx context.Context, c *canary, kind canaryKind[T], first, second namedServer) (err error) {
	// The name is generated here, so that the object can be deleted even if the response is lost.
	name := canaryPrefix + rand.String(10)
	id := fmt.Sprintf("%s %s/%s", kind.kind, c.namespace, name)
	creator, changer := kind.clients(first, c.namespace), kind.clients(second, c.namespace)
	_, err = creator.Create(ctx, kind.object(c.namespace, name), metav1.CreateOptions{FieldManager: policy.PluginFieldManager})
	if cluster.Rejected(err) {
		return fmt.Errorf("creating a %s through %s: %w", kind.kind, first.name, c.explainDenial(ctx, err))
	}
	defer func() {
		if deleteErr := deleteCanary(ctx, c, kind, name, first, second); deleteErr != nil {
			err = errors.Join(err, fmt.Errorf("deleting %s: %w: run kubectl -n %s delete %s %s", id, deleteErr, c.namespace, strings.ToLower(kind.kind), name))
		}
	}()
	if err != nil {
		return fmt.Errorf("creating a %s through %s: %w", kind.kind, first.name, err)
	}
	if err := compareCanary(ctx, c, kind, name, first, second); err != nil {
		return err
	}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:"updated"}}}`, policy.CanaryLabel)
	if _, err = changer.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: policy.PluginFieldManager}); err != nil {
		return fmt.Errorf("patching %s through %s: %w", id, second.name, c.explainDenial(ctx, err))
	}
	return compareCanary(ctx, c, kind, name, second, first)
}

// compareCanary fails if the reader does not return the object as the writer does.
func compareCanary[T metav1.Object](ctx context.Context, c *canary, kind canaryKind[T], name string, writer, reader namedServer) error {
	id := fmt.Sprintf("%s %s/%s", kind.kind, c.namespace, name)
	for range compareAttempts {
		var versions [3]T
		for i, s := range []namedServer{writer, reader, writer} {
			var err error
			if versions[i], err = kind.clients(s, c.namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
				return explainUnreadable(id, writer, s, err)
			}
			versions[i].SetSelfLink("") // is not stored; Batchgate has a flag that adds it
		}
		// A controller may have changed the object between the requests.
		if versions[0].GetResourceVersion() == versions[2].GetResourceVersion() {
			if apiequality.Semantic.DeepEqual(versions[0], versions[1]) {
				return nil
			}
			return fmt.Errorf("%s returns a different %s than %s: set --emulated-version of Batchgate to kube-apiserver's, and --etcd-servers and --etcd-prefix to what kube-apiserver uses for Jobs", reader.name, id, writer.name)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(c.cluster.Timing.Poll):
		}
	}
	return fmt.Errorf("%s keeps changing, so it cannot be compared: choose another namespace with --canary-namespace", id)
}

// explainUnreadable returns the error for an object that a server wrote and another cannot read.
func explainUnreadable(id string, writer, reader namedServer, err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s does not find %s, which %s stored: set --etcd-servers and --etcd-prefix of Batchgate to what kube-apiserver uses for Jobs", reader.name, id, writer.name)
	case apierrors.IsInternalError(err):
		return fmt.Errorf("%s cannot read %s, which %s stored: both servers need the same --encryption-provider-config: %w", reader.name, id, writer.name, err)
	}
	return fmt.Errorf("reading %s through %s: %w", id, reader.name, err)
}

// explainDenial adds to a denial by admission what to do about it.
func (c *canary) explainDenial(ctx context.Context, err error) error {
	if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
		return err
	}
	for name, advice := range map[string]string{
		policy.FreezeName: "an import or a rollback denies writes: wait until it ends, or see kubectl batchgate status",
		policy.GuardName:  "the Jobs are in a dedicated etcd: run " + cluster.ImportCommand + ", which takes over again",
	} {
		if strings.Contains(err.Error(), name) {
			return fmt.Errorf("%w: %s", err, advice)
		}
	}
	return fmt.Errorf("%w: the cluster's admission denies the canary: choose another namespace with --canary-namespace, or exempt objects with the label %s", err, policy.CanaryLabel)
}

// deleteCanary deletes the object through the server that created it, and through the other one if
// that fails. It succeeds once neither server finds the object.
func deleteCanary[T metav1.Object](ctx context.Context, c *canary, kind canaryKind[T], name string, creator, other namedServer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), canaryCleanup)
	defer cancel()
	var failed []error
	for _, s := range []namedServer{creator, other} {
		err := kind.clients(s, c.namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)})
		if err == nil {
			return c.awaitDeleted(ctx, func() error {
				_, err := kind.clients(s, c.namespace).Get(ctx, name, metav1.GetOptions{})
				return err
			})
		}
		if !apierrors.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("through %s: %w", s.name, err))
		}
	}
	return errors.Join(failed...)
}

// awaitDeleted waits until get does not find the object. An admission webhook may have added a
// finalizer.
func (c *canary) awaitDeleted(ctx context.Context, get func() error) error {
	for {
		err := get()
		if apierrors.IsNotFound(err) {
			return nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = errors.New("it still exists, perhaps because of a finalizer")
			}
			return err
		case <-time.After(c.cluster.Timing.Poll):
		}
	}
}
