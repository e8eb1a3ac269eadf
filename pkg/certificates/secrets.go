package certificates

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/takeover"
)

// The Secrets, all of them with the certificate, its key, and the CAs that verify it.
const (
	servingCASecret  = "batchgate-ca"
	etcdCASecret     = "batchgate-etcd-ca"
	etcdMemberSecret = "batchgate-etcd-member"
	etcdClientSecret = "batchgate-etcd-client"

	certKey, keyKey, caKey = corev1.TLSCertKey, corev1.TLSPrivateKeyKey, corev1.ServiceAccountRootCAKey
)

// The label of the Secrets that this package has made, and may write.
const (
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "kubectl-batchgate"
	// certManagerAnnotation is on the Secrets that cert-manager writes.
	certManagerAnnotation = "cert-manager.io/certificate-name"
)

// readSecrets reads all Secrets. It is an error if somebody else has made one of them.
func (c *Certificates) readSecrets(ctx context.Context) (string, error) {
	names := []string{servingCASecret, takeover.ServingSecret}
	if c.Etcd {
		names = append(names, etcdCASecret, etcdMemberSecret, etcdClientSecret)
	}
	c.secrets = map[string]*corev1.Secret{}
	missing := 0
	for _, name := range names {
		secret, err := c.Cluster.Kube.CoreV1().Secrets(c.Service.Namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			missing++
			secret = &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Service.Namespace, Labels: map[string]string{managedByLabel: managedBy}},
				Type:       corev1.SecretTypeTLS,
			}
		case err != nil:
			return "", fmt.Errorf("reading Secret %s: %w", name, err)
		case secret.Labels[managedByLabel] != managedBy:
			return "", foreign(secret)
		}
		c.secrets[name] = secret
	}
	return fmt.Sprintf("%d there, %d missing", len(names)-missing, missing), nil
}

// foreign returns the error of a Secret that somebody else has made.
func foreign(secret *corev1.Secret) error {
	if certificate := secret.Annotations[certManagerAnnotation]; certificate != "" {
		return fmt.Errorf("the Secret %s/%s is that of cert-manager's Certificate %s, which renews it: leave it to that", secret.Namespace, secret.Name, certificate)
	}
	return fmt.Errorf("the Secret %[1]s/%[2]s was not made by this command: renew it as it was made; or give it away for good: kubectl -n %[1]s label secret %[2]s --overwrite %[3]s=%[4]s",
		secret.Namespace, secret.Name, managedByLabel, managedBy)
}

// write gives the Secret of that name the data, if it is still as it was read. It reports
// whether that was, or would be, a change.
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
		written, err = secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: managedBy})
	} else {
		written, err = secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: managedBy})
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return false, fmt.Errorf("writing Secret %s: %w", name, errChanged)
	case apierrors.IsNotFound(err):
		return false, fmt.Errorf("writing Secret %s: %w: install artifacts/base first", name, err)
	case err != nil:
		return false, fmt.Errorf("writing Secret %s: %w", name, err)
	}
	c.secrets[name], c.changed = written, true
	return true, nil
}
