// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes/scheme"
)

const jobsKey = "/registry/jobs/"

// deleteCreated deletes the Jobs that the operation "create" created.
func (p *plane) deleteCreated(ctx context.Context, namespace string) error {
	_, err := p.etcd.Delete(ctx, jobsKey+namespace+"/new-", clientv3.WithPrefix())
	return err
}

// store writes Jobs directly to etcd, as kube-apiserver would store them. It copies the
// template for each number n with from <= n < to.
func (p *plane) store(ctx context.Context, template *batchv1.Job, from, to int) error {
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
			puts = append(puts, clientv3.OpPut(jobsKey+job.Namespace+"/"+job.Name, string(value)))
		}
		if _, err := p.etcd.Txn(ctx).Then(puts...).Commit(); err != nil {
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
