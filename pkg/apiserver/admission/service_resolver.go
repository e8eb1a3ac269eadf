// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"net/url"

	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/webhook"
	corev1listers "k8s.io/client-go/listers/core/v1"
)

// serviceResolver resolves a webhook's Service to its cluster IP, like kube-apiserver. The
// default resolver returns a name in the cluster's DNS, which a static pod on the host network
// cannot resolve.
type serviceResolver struct {
	services corev1listers.ServiceLister
}

var _ webhook.ServiceResolver = serviceResolver{}

// ResolveEndpoint implements webhook.ServiceResolver.
func (r serviceResolver) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	return proxy.ResolveCluster(r.services, namespace, name, port)
}
