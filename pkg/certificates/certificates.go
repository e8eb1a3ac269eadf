package certificates

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/takeover"
)

// Certificates makes and renews certificates.
type Certificates struct {
	Cluster *takeover.Cluster
	Service takeover.Service
	// CheckReplicas connects to all replicas of the server, and returns how many there are. It is
	// an error if one shows a certificate that the CA does not verify.
	CheckReplicas func(ctx context.Context, caBundle []byte) (int, error)
	// Report is told of each step when it is done.
	Report func(takeover.Result)
	// RenewBefore is how long a certificate must last at least.
	RenewBefore time.Duration
	// RotateCA makes a new CA for the serving certificate.
	RotateCA bool
	// Etcd makes the certificates of an etcd of Batchgate's own too. Those that are there are renewed
	// in any case.
	Etcd bool
	// DryRun says what would be done.
	DryRun bool

	secrets map[string]*corev1.Secret
	// changed is set once anything has been written.
	changed bool
}

// Run makes what is missing and renews what has to be. The error is takeover.ErrRefused where
// nothing was changed.
func (c *Certificates) Run(ctx context.Context) error {
	err := c.run(ctx)
	if err != nil && !c.changed {
		return fmt.Errorf("%w: %w", err, takeover.ErrRefused)
	}
	return err
}

func (c *Certificates) run(ctx context.Context) error {
	if err := c.step("permissions", func() (string, error) { return c.checkPermissions(ctx) }); err != nil {
		return err
	}
	if !c.Etcd {
		var err error
		if c.Etcd, err = c.madeEtcd(ctx); err != nil {
			return err
		}
	}
	if err := c.step("secrets", func() (string, error) { return c.readSecrets(ctx) }); err != nil {
		return err
	}
	var registrations []takeover.Registration
	if err := c.step("registrations", func() (detail string, err error) {
		registrations, detail, err = c.readRegistrations(ctx)
		return detail, err
	}); err != nil {
		return err
	}
	if err := c.runServing(ctx, registrations); err != nil {
		return err
	}
	if c.Etcd {
		return c.runEtcd(ctx)
	}
	return nil
}

// madeEtcd reports whether this has made certificates of an etcd earlier.
func (c *Certificates) madeEtcd(ctx context.Context) (bool, error) {
	secret, err := c.Cluster.Kube.CoreV1().Secrets(c.Service.Namespace).Get(ctx, etcdCASecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return false, nil // what is not allowed is reported with all other rights
	}
	if err != nil {
		return false, fmt.Errorf("reading Secret %s: %w", etcdCASecret, err)
	}
	return secret.Labels[managedByLabel] == managedBy, nil
}

func (c *Certificates) runServing(ctx context.Context, registrations []takeover.Registration) error {
	ca, err := c.authority(ctx, "CA", servingCASecret, c.RotateCA)
	if err != nil {
		return err
	}
	for i := range registrations {
		if err := c.addCA(ctx, &registrations[i], ca); err != nil {
			return err
		}
	}
	renewed, err := c.renew(ctx, "serving certificate", takeover.ServingSecret, ca, servingTemplate(c.Service))
	if err != nil {
		return err
	}
	if old := len(ca.old) > 0 || otherCAs(registrations, ca); old && renewed {
		c.Report(takeover.Result{Name: "old CA", Detail: "kept: run this again once all replicas have the new serving certificate, in two minutes or so"})
	} else if old {
		if err := c.dropOldCAs(ctx, registrations, ca); err != nil {
			return err
		}
	}
	for _, r := range registrations {
		if r.Name == takeover.PoliciesAPIService {
			return nil
		}
	}
	c.Report(takeover.Result{Name: "next", Detail: fmt.Sprintf(
		"register %s with the CA in %s of Secret %s/%s: see artifacts/apiservice/policy", takeover.PoliciesAPIService, caKey, c.Service.Namespace, takeover.ServingSecret)})
	return nil
}

func (c *Certificates) runEtcd(ctx context.Context) error {
	ca, err := c.authority(ctx, "etcd CA", etcdCASecret, false)
	if err != nil {
		return err
	}
	if _, err := c.renew(ctx, "etcd member certificate", etcdMemberSecret, ca, etcdMemberTemplate(c.Service)); err != nil {
		return err
	}
	_, err = c.renew(ctx, "etcd client certificate", etcdClientSecret, ca, etcdClientTemplate(c.Service))
	return err
}

// step does one, and reports what came of it.
func (c *Certificates) step(name string, do func() (string, error)) error {
	detail, err := do()
	result := takeover.Result{Name: name, Detail: detail}
	if err != nil {
		result.Error = err.Error()
		err = fmt.Errorf("%s: %w", name, err)
	}
	c.Report(result)
	return err
}

// done turns what has been done into what would be.
func (c *Certificates) done(what string) string {
	if c.DryRun {
		return "would be " + what
	}
	return what
}

// checkPermissions asks whether the user may do all that may follow.
func (c *Certificates) checkPermissions(ctx context.Context) (string, error) {
	var needed []authorizationv1.ResourceAttributes
	for _, verb := range []string{"get", "create", "update"} {
		needed = append(needed, authorizationv1.ResourceAttributes{Resource: "secrets", Namespace: c.Service.Namespace, Verb: verb})
	}
	for _, verb := range []string{"get", "patch"} {
		needed = append(needed, authorizationv1.ResourceAttributes{Group: "apiregistration.k8s.io", Resource: "apiservices", Verb: verb})
	}
	return c.Cluster.CheckPermissions(ctx, needed)
}

// readRegistrations reads the APIServices of the Service. It is an error where cert-manager
// keeps the CA in one: it would undo what is done here.
func (c *Certificates) readRegistrations(ctx context.Context) ([]takeover.Registration, string, error) {
	registrations, err := c.Cluster.Registrations(ctx, c.Service)
	if err != nil {
		return nil, "", err
	}
	var names []string
	for _, r := range registrations {
		if len(r.Injected) > 0 {
			return nil, "", fmt.Errorf("cert-manager keeps the CA of APIService %s: leave the certificates to it, or remove its annotation cert-manager.io/inject-*", r.Name)
		}
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Sprintf("no APIService names Service %s yet", c.Service), nil
	}
	return registrations, strings.Join(names, ", "), nil
}

// errChanged is that of a write to what is not as it was read.
var errChanged = errors.New("somebody else has changed it meanwhile: run this again")
