// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// The keys of the Secrets.
const (
	certKey = corev1.TLSCertKey
	keyKey  = corev1.TLSPrivateKeyKey
	caKey   = policy.SecretCAKey
)

// errChanged is returned if an object has changed since it was read.
var errChanged = errors.New("another client has changed it: run this again")

// readSecrets reads all Secrets. It fails if one of them lacks the label of the plugin.
func (c *Certificates) readSecrets(ctx context.Context) (string, error) {
	names := []string{policy.ServingCASecret, policy.ServingSecret}
	if c.Etcd {
		names = append(names, policy.EtcdCASecret, policy.EtcdMemberSecret, policy.EtcdClientSecret)
	}
	c.secrets = map[string]*corev1.Secret{}
	missing := 0
	for _, name := range names {
		secret, err := c.Cluster.Kube.CoreV1().Secrets(c.Service.Namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			missing++
			secret = &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Service.Namespace, Labels: map[string]string{policy.ManagedByLabel: policy.PluginFieldManager}},
				Type:       corev1.SecretTypeTLS,
			}
		case err != nil:
			return "", fmt.Errorf("reading Secret %s: %w", name, err)
		case !managed(secret):
			return "", notManaged(secret)
		}
		c.secrets[name] = secret
	}
	return fmt.Sprintf("%d exist, %d missing", len(names)-missing, missing), nil
}

// managed reports whether the plugin may write the Secret.
func managed(secret *corev1.Secret) bool {
	return secret.Labels[policy.ManagedByLabel] == policy.PluginFieldManager
}

func notManaged(secret *corev1.Secret) error {
	if certificate := secret.Annotations[policy.CertManagerCertificateAnnotation]; certificate != "" {
		return fmt.Errorf("the Secret %s/%s belongs to cert-manager's Certificate %s: let cert-manager renew it", secret.Namespace, secret.Name, certificate)
	}
	return fmt.Errorf("the Secret %[1]s/%[2]s was not created by this command: renew it the way it was created, or let this command manage it: kubectl -n %[1]s label secret %[2]s --overwrite %[3]s=%[4]s",
		secret.Namespace, secret.Name, policy.ManagedByLabel, policy.PluginFieldManager)
}

// write merges data into the Secret of that name, if it has not changed since it was read. It
// reports whether this was, or would be, a change.
func (c *Certificates) write(ctx context.Context, name string, data map[string][]byte) (bool, error) {
	secret := c.secrets[name].DeepCopy()
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	maps.Copy(secret.Data, data)
	if maps.EqualFunc(secret.Data, c.secrets[name].Data, bytes.Equal) {
		return false, nil
	}
	if c.DryRun {
		c.secrets[name] = secret
		return true, nil
	}
	secrets := c.Cluster.Kube.CoreV1().Secrets(secret.Namespace)
	var err error
	var written *corev1.Secret
	if secret.ResourceVersion == "" {
		written, err = secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: policy.PluginFieldManager})
	} else {
		written, err = secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: policy.PluginFieldManager})
	}
	c.changed = c.changed || !cluster.Rejected(err)
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return false, fmt.Errorf("writing Secret %s: %w", name, errChanged)
	case apierrors.IsNotFound(err):
		return false, fmt.Errorf("writing Secret %s: %w: install Batchgate first", name, err)
	case err != nil:
		return false, fmt.Errorf("writing Secret %s: %w", name, err)
	}
	c.secrets[name] = written
	return true, nil
}
