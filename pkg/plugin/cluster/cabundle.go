// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// injectAnnotations make cert-manager's cainjector write the CA bundle of an APIService, even of
// one without a service.
var injectAnnotations = []string{policy.CertManagerInjectAnnotation, policy.CertManagerInjectSecretAnnotation}

// certManagerAnnotations returns nil if there are none.
func certManagerAnnotations(annotations map[string]string) map[string]string {
	var found map[string]string
	for _, key := range injectAnnotations {
		if value, ok := annotations[key]; ok {
			if found == nil {
				found = map[string]string{}
			}
			found[key] = value
		}
	}
	return found
}

// TakeoverAnnotations returns the annotations that v1.batch needs once it is taken over:
// cert-manager's, from the policies' APIService, and the etcd annotation with the value etcd,
// unless that is empty.
func (c *Cluster) TakeoverAnnotations(ctx context.Context, service Service, etcd string) (map[string]string, error) {
	registrations, err := c.Registrations(ctx, service)
	if err != nil {
		return nil, err
	}
	var annotations map[string]string
	for _, r := range registrations {
		if r.Name == policy.PolicyAPIService {
			annotations = r.CertManager
		}
	}
	return withEtcd(annotations, etcd), nil
}

func withEtcd(annotations map[string]string, etcd string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, annotations)
	if etcd != "" {
		all[policy.EtcdAnnotation] = etcd
	}
	return all
}

// TakenOver reports whether the Service of Batchgate serves the API already, with the same CA
// bundle and these annotations of cert-manager.
func (a *APIService) TakenOver(b *Batchgate, annotations map[string]string) bool {
	for key, value := range certManagerAnnotations(annotations) {
		if a.CertManager[key] != value {
			return false
		}
	}
	return a.ServedBy(b.Service) && bytes.Equal(a.CABundle, b.CABundle)
}

// KnownCABundle returns the CA bundle of Batchgate's serving certificate, in PEM. It reads an
// APIService or, if none has it, the certificate's Secret.
func (c *Cluster) KnownCABundle(ctx context.Context, service Service) ([]byte, error) {
	registrations, err := c.Registrations(ctx, service)
	if err != nil {
		return nil, fmt.Errorf("looking for the CA of the serving certificate: %w", err)
	}
	for _, r := range registrations {
		switch {
		case len(r.CABundle) == 0:
		case !r.ServedBy(service):
			port := r.Service.EffectivePort()
			return nil, fmt.Errorf("APIService %s refers to port %d of Service %s: set --service-port=%d", r.Name, port, service, port)
		default:
			return r.CABundle, nil
		}
	}
	// The user may not be allowed to read the Secret, and it does not exist if the certificate
	// was not created by the plugin or cert-manager.
	secret, err := c.Kube.CoreV1().Secrets(service.Namespace).Get(ctx, policy.ServingSecret, metav1.GetOptions{})
	if err == nil && len(secret.Data[policy.SecretCAKey]) > 0 {
		return secret.Data[policy.SecretCAKey], nil
	}
	return nil, fmt.Errorf("found the CA of the serving certificate neither in an APIService of Service %s nor in %s of Secret %s: create it with %s, or set it with --ca-file", service, policy.SecretCAKey, policy.ServingSecret, CertificatesCommand)
}

// CheckReplicas connects to all replicas of the Service, ready or not, and returns their number.
// It fails if there are none, or if the CA bundle does not verify the certificate of one of them.
func (c *Cluster) CheckReplicas(ctx context.Context, service Service, caBundle []byte) (int, error) {
	endpoints, err := c.endpoints(ctx, service)
	if err != nil {
		return 0, err
	}
	if len(endpoints) == 0 {
		return 0, errors.New("no replica was found")
	}
	for _, e := range endpoints {
		if e.pod == "" {
			return 0, fmt.Errorf("the Service %s has an endpoint that is not a Pod, so its certificate cannot be checked", service)
		}
		if err := c.checkReplica(ctx, service, e, caBundle); err != nil {
			return 0, err
		}
	}
	return len(endpoints), nil
}

func (c *Cluster) checkReplica(ctx context.Context, service Service, e endpoint, caBundle []byte) error {
	_, forward, err := c.connectReplica(ctx, service, e, caBundle)
	if err == nil {
		forward.Close()
	}
	return err
}
