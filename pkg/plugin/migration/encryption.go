// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// A move writes to etcd directly and does not have the servers' encryption keys. So it would store
// objects unencrypted that a server encrypts at rest.

// errEncrypted returns the error for a server that encrypts Jobs.
func errEncrypted(server string) error {
	return fmt.Errorf("%s encrypts Jobs or CronJobs at rest, and moving encrypted objects is not supported: exclude jobs.batch and cronjobs.batch in its --encryption-provider-config, "+
		"or set --unencrypted to store them unencrypted", server)
}

// encryptedWrites matches the metric of values that a server has encrypted or decrypted.
var encryptedWrites = regexp.MustCompile(`(?m)^apiserver_storage_transformation_operations_total\{[^}]*resource="(?:cron)?jobs(?:\.batch)?"[^}]*transformer_prefix="` + encryptedPrefix)

// encryptsJobs reports whether the metrics of a server show that it has encrypted or decrypted
// Jobs or CronJobs since it started. A server reads all objects when it starts.
func encryptsJobs(ctx context.Context, s cluster.Server) (bool, error) {
	content, err := s.Read(ctx, "/metrics", cluster.ReadOptions{})
	if err != nil {
		return false, fmt.Errorf("reading the metrics of kube-apiserver, to find out whether it encrypts Jobs: %w", err)
	}
	return encryptedWrites.Match(content), nil
}

// checkUnencrypted fails if an object in the store is encrypted.
func (s *Store) checkUnencrypted(ctx context.Context) error {
	return s.each(ctx, func(id string, value []byte) error {
		if bytes.HasPrefix(value, []byte(encryptedPrefix)) {
			return fmt.Errorf("%s in etcd is encrypted: %w", id, errEncrypted("the server of this etcd"))
		}
		return nil
	})
}

// checkEncryption fails if one of the servers encrypts Jobs or CronJobs at rest. It creates
// suspended ones on both servers, and deletes them. It does not do that in a dry run, or while
// another operation's freeze denies it.
func (i *Import) checkEncryption(ctx context.Context) (string, error) {
	if i.Unencrypted {
		return skipped, nil
	}
	if err := i.Etcd.checkUnencrypted(ctx); err != nil {
		return "", err
	}
	frozen, err := i.Cluster.HasBinding(ctx, policy.FreezeName)
	if err != nil {
		return "", err
	}
	if !i.DryRun && !frozen {
		direct, err := i.Batchgate.Connect(ctx)
		if err != nil {
			return "", err
		}
		if err := i.Controllers.createCanaries(ctx, direct, i.checkStored); err != nil {
			return "", fmt.Errorf("on Batchgate: %w", err)
		}
		// If there is a guard, it denies these, and an earlier import has checked kube-apiserver.
		if err := i.Controllers.createCanaries(ctx, i.Cluster.Kube, nil); err != nil && !isFreeze(err) {
			return "", fmt.Errorf("on kube-apiserver: %w", err)
		}
	}
	encrypts, err := encryptsJobs(ctx, i.Cluster.Kube)
	if err == nil && encrypts {
		err = errEncrypted("kube-apiserver")
	}
	return "neither server encrypts Jobs and CronJobs", err
}

// checkStored fails if Batchgate does not store the object as the import does.
func (i *Import) checkStored(ctx context.Context, id string) error {
	value, err := i.Etcd.value(ctx, id)
	switch {
	case err != nil:
		return err
	case value == nil:
		return fmt.Errorf("it does not store %s in this etcd below %s: use its --etcd-servers and --etcd-prefix", path.Dir(id), i.Etcd.prefix)
	case bytes.HasPrefix(value, []byte(encryptedPrefix)):
		return errEncrypted("Batchgate")
	}
	return nil
}

// canaryPrefix starts the names of the objects that checks create.
const canaryPrefix = "batchgate-canary-"

// isCanary reports whether a check has created the object, which is resource/namespace/name.
func isCanary(id string) bool { return strings.HasPrefix(path.Base(id), canaryPrefix) }

// createCanaries creates a suspended Job and CronJob, calls check with the id of each unless it is
// nil, and deletes them.
func (o Controllers) createCanaries(ctx context.Context, s cluster.Server, check func(context.Context, string) error) (err error) {
	const advice = "creating a %s: %w: choose another namespace with --canary-namespace"
	template := o.job()
	inspect := func(resource string, obj metav1.Object) error {
		if check == nil {
			return nil
		}
		return check(ctx, strings.Join([]string{resource, obj.GetNamespace(), obj.GetName()}, "/"))
	}
	cleanUp := func(remove func(context.Context) error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
		defer cancel()
		if deleteErr := remove(ctx); deleteErr != nil && err == nil {
			err = fmt.Errorf("deleting what the check created: %w", deleteErr)
		}
	}
	background := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}

	jobs := s.BatchV1().Jobs(template.Namespace)
	job, err := jobs.Create(ctx, template, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf(advice, "Job", err)
	}
	defer cleanUp(func(ctx context.Context) error { return jobs.Delete(ctx, job.Name, background) })
	if err := inspect("jobs", job); err != nil {
		return err
	}
	cronJobs := s.BatchV1().CronJobs(template.Namespace)
	cron, err := cronJobs.Create(ctx, &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: template.Namespace, GenerateName: canaryPrefix},
		Spec: batchv1.CronJobSpec{
			Schedule: "0 0 1 1 *", Suspend: ptr.To(true), StartingDeadlineSeconds: ptr.To(int64(time.Minute.Seconds())),
			JobTemplate: batchv1.JobTemplateSpec{Spec: template.Spec},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf(advice, "CronJob", err)
	}
	defer cleanUp(func(ctx context.Context) error { return cronJobs.Delete(ctx, cron.Name, background) })
	return inspect("cronjobs", cron)
}
