// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

func TestServiceResolver_ResolveEndpoint(t *testing.T) {
	services := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for name, spec := range map[string]corev1.ServiceSpec{
		"plain":    {Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.0.0.7", Ports: []corev1.ServicePort{{Port: 443}, {Port: 8443}}},
		"node":     {Type: corev1.ServiceTypeNodePort, ClusterIP: "10.0.0.8", Ports: []corev1.ServicePort{{Port: 443, NodePort: 30443}}},
		"ipv6":     {Type: corev1.ServiceTypeClusterIP, ClusterIP: "fd00::7", Ports: []corev1.ServicePort{{Port: 443}}},
		"external": {Type: corev1.ServiceTypeExternalName, ExternalName: "hooks.example.com"},
		"headless": {Type: corev1.ServiceTypeClusterIP, ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Port: 443}}},
	} {
		if err := services.Add(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "hooks", Name: name}, Spec: spec}); err != nil {
			t.Fatal(err)
		}
	}
	resolver := serviceResolver{corev1listers.NewServiceLister(services)}
	for _, tc := range []struct {
		namespace, name string
		port            int32
		want, err       string
	}{
		{namespace: "hooks", name: "plain", port: 443, want: "https://10.0.0.7:443"},
		{namespace: "hooks", name: "plain", port: 8443, want: "https://10.0.0.7:8443"},
		{namespace: "hooks", name: "node", port: 443, want: "https://10.0.0.8:443"},
		{namespace: "hooks", name: "ipv6", port: 443, want: "https://[fd00::7]:443"},
		{namespace: "hooks", name: "external", port: 9443, want: "https://hooks.example.com:9443"},
		{namespace: "hooks", name: "plain", port: 80, err: "no service port 80 found"},
		{namespace: "hooks", name: "headless", port: 443, err: "cannot route"},
		{namespace: "other", name: "plain", port: 443, err: "not found"},
	} {
		got, err := resolver.ResolveEndpoint(tc.namespace, tc.name, tc.port)
		switch {
		case tc.err != "":
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s/%s:%d: got error %v, want it to contain %q", tc.namespace, tc.name, tc.port, err, tc.err)
			}
		case err != nil:
			t.Errorf("%s/%s:%d: %v", tc.namespace, tc.name, tc.port, err)
		case got.String() != tc.want:
			t.Errorf("%s/%s:%d: got %s, want %s", tc.namespace, tc.name, tc.port, got, tc.want)
		}
	}
}
