// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes/scheme"
)

const jobsKey = "/registry/jobs/" + namespace + "/"

// compareAndSwap measures etcd alone with the transaction that every update ends with: it replaces a
// value of a Job's size if its revision is unchanged.
func (b *bench) compareAndSwap(ctx context.Context, r *results) error {
	stored, err := b.etcd.Get(ctx, jobsKey+jobName(0))
	if err != nil {
		return err
	}
	value := string(stored.Kvs[0].Value)
	deadline := time.Now().Add(b.duration)
	counts := make(chan int)
	const workers = 32
	for worker := range workers {
		go func() {
			n := 0
			defer func() { counts <- n }()
			key, revision := fmt.Sprintf("/benchmark/%d", worker), int64(0)
			if got, err := b.etcd.Get(ctx, key); err == nil && len(got.Kvs) > 0 {
				revision = got.Kvs[0].ModRevision
			}
			for time.Now().Before(deadline) {
				resp, err := b.etcd.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
					Then(clientv3.OpPut(key, value)).Else(clientv3.OpGet(key)).Commit()
				if err != nil {
					return
				}
				revision = resp.Header.Revision
				n++
			}
		}()
	}
	total := 0
	for range workers {
		total += <-counts
	}
	r.add(cell{"etcd", "compare and swap", workers, ""}, sample{PerSecond: float64(total) / b.duration.Seconds()})
	return nil
}

// deleteCreated deletes the Jobs that the operation "create" created.
func (b *bench) deleteCreated(ctx context.Context) error {
	_, err := b.etcd.Delete(ctx, jobsKey+"new-", clientv3.WithPrefix())
	return err
}

// store writes Jobs directly to etcd, as kube-apiserver would store them. It copies the
// template for each number n with from <= n < to.
func (b *bench) store(ctx context.Context, template *batchv1.Job, from, to int) error {
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	encoder := scheme.Codecs.EncoderForVersion(info.Serializer, batchv1.SchemeGroupVersion)
	const batch = 100
	for i := from; i < to; i += batch {
		var puts []clientv3.Op
		for n := i; n < min(i+batch, to); n++ {
			job := template.DeepCopy()
			job.Name, job.UID, job.ResourceVersion = jobName(n), uuid.NewUUID(), ""
			job.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] = string(job.UID)
			for _, labels := range []map[string]string{job.Labels, job.Spec.Template.Labels} {
				relabel(labels, job.Name, job.UID)
			}
			value, err := runtime.Encode(encoder, job)
			if err != nil {
				return err
			}
			puts = append(puts, clientv3.OpPut(jobsKey+job.Name, string(value)))
		}
		if _, err := b.etcd.Txn(ctx).Then(puts...).Commit(); err != nil {
			return err
		}
	}
	return nil
}

// relabel updates those generated labels of a Job that are present.
func relabel(labels map[string]string, name string, uid types.UID) {
	for key, value := range map[string]string{
		batchv1.JobNameLabel: name, "job-name": name,
		batchv1.ControllerUidLabel: string(uid), "controller-uid": string(uid),
	} {
		if _, ok := labels[key]; ok {
			labels[key] = value
		}
	}
}
