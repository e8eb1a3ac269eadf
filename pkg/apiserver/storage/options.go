// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"k8s.io/apimachinery/pkg/runtime"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// NewOptions returns etcd options with kube-apiserver's defaults.
func NewOptions() *genericoptions.EtcdOptions {
	o := genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig(policy.DefaultEtcdPrefix, nil))
	o.DefaultStorageMediaType = runtime.ContentTypeProtobuf
	o.WatchCacheSizes = []string{}
	return o
}
