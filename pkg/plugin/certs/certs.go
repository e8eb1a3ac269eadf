// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

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

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// Certificates creates and renews certificates.
type Certificates struct {
	Cluster *cluster.Cluster
	Service cluster.Service
	// CheckReplicas connects to all replicas and returns their number. It fails if the CA bundle
	// does not verify the certificate of one of them.
	CheckReplicas func(ctx context.Context, caBundle []byte) (int, error)
	Report        steps.Reporter
	// RenewBefore is the minimum remaining validity of a certificate.
	RenewBefore time.Duration
	// RotateCA creates a new CA for the serving certificate.
	RotateCA bool
	// Etcd also creates the certificates of a dedicated etcd. Existing ones are always renewed.
	Etcd bool
	// DryRun only reports what would be done.
	DryRun bool

	secrets map[string]*corev1.Secret
	// changed is set once a write has succeeded, or has failed with an unknown outcome.
	changed bool
}

// Run creates missing certificates and renews those that are due. It returns
// steps.ErrNothingChanged if it fails before the first write.
func (c *Certificates) Run(ctx context.Context) error {
	err := c.run(ctx)
	if err != nil && !c.changed {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	return err
}

func (c *Certificates) run(ctx context.Context) error {
	if err := c.step(ctx, "permissions", c.checkPermissions); err != nil {
		return err
	}
	if !c.Etcd {
		var err error
		if c.Etcd, err = c.managesEtcd(ctx); err != nil {
			return err
		}
	}
	if err := c.step(ctx, "secrets", c.readSecrets); err != nil {
		return err
	}
	var registrations []*cluster.APIService
	if err := c.step(ctx, "registrations", func(ctx context.Context) (detail string, err error) {
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

// managesEtcd reports whether an earlier run has created certificates of a dedicated etcd.
func (c *Certificates) managesEtcd(ctx context.Context) (bool, error) {
	secret, err := c.Cluster.Kube.CoreV1().Secrets(c.Service.Namespace).Get(ctx, policy.EtcdCASecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return false, nil // the step permissions reports missing permissions
	}
	if err != nil {
		return false, fmt.Errorf("reading Secret %s: %w", policy.EtcdCASecret, err)
	}
	return managed(secret), nil
}

func (c *Certificates) runServing(ctx context.Context, registrations []*cluster.APIService) error {
	ca, err := c.authority(ctx, "CA", policy.ServingCASecret, c.RotateCA)
	if err != nil {
		return err
	}
	for i := range registrations {
		if err := c.addCA(ctx, &registrations[i], ca); err != nil {
			return err
		}
	}
	renewed, err := c.renew(ctx, "serving certificate", policy.ServingSecret, ca, servingTemplate(c.Service))
	if err != nil {
		return err
	}
	if old := len(ca.old) > 0 || trustsOtherCA(registrations, ca); old && renewed {
		c.Report(steps.Result{Name: "old CA", Detail: "kept until all replicas have the new serving certificate: run this again in about two minutes"})
	} else if old {
		if err := c.dropOldCAs(ctx, registrations, ca); err != nil {
			return err
		}
	}
	for _, r := range registrations {
		if r.Name == policy.PolicyAPIService {
			return nil
		}
	}
	c.Report(steps.Result{Name: "next", Detail: fmt.Sprintf(
		"register %s with the CA in %s of Secret %s/%s: see docs/tasks/install.md", policy.PolicyAPIService, caKey, c.Service.Namespace, policy.ServingSecret)})
	return nil
}

func (c *Certificates) runEtcd(ctx context.Context) error {
	ca, err := c.authority(ctx, "etcd CA", policy.EtcdCASecret, false)
	if err != nil {
		return err
	}
	if _, err := c.renew(ctx, "etcd member certificate", policy.EtcdMemberSecret, ca, etcdMemberTemplate(c.Service)); err != nil {
		return err
	}
	_, err = c.renew(ctx, "etcd client certificate", policy.EtcdClientSecret, ca, etcdClientTemplate(c.Service))
	return err
}

func (c *Certificates) step(ctx context.Context, name string, run func(context.Context) (string, error)) error {
	return steps.Run(ctx, []steps.Step{{Name: name, Run: run}}, c.Report)
}

// describe returns done, such as "created", or in a dry run "would be created".
func (c *Certificates) describe(done string) string {
	if c.DryRun {
		return "would be " + done
	}
	return done
}

// checkPermissions fails if the user lacks a permission that any of the following steps needs.
func (c *Certificates) checkPermissions(ctx context.Context) (string, error) {
	var needed []authorizationv1.ResourceAttributes
	for _, verb := range []string{"get", "create", "update"} {
		needed = append(needed, authorizationv1.ResourceAttributes{Resource: "secrets", Namespace: c.Service.Namespace, Verb: verb})
	}
	for _, verb := range []string{"get", "patch"} {
		needed = append(needed, cluster.APIServicePermission(verb, ""))
	}
	return c.Cluster.CheckPermissions(ctx, needed)
}

// readRegistrations reads the APIServices of the Service. It fails if cert-manager maintains the
// CA bundle of one, since it would revert the changes.
func (c *Certificates) readRegistrations(ctx context.Context) ([]*cluster.APIService, string, error) {
	registrations, err := c.Cluster.Registrations(ctx, c.Service)
	if err != nil {
		return nil, "", err
	}
	var names []string
	for _, r := range registrations {
		if len(r.CertManager) > 0 {
			return nil, "", errors.New("cert-manager maintains the CA bundle of APIService " + r.Name + ": let it manage the certificates, or remove the annotation cert-manager.io/inject-*")
		}
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Sprintf("no APIService refers to Service %s yet", c.Service), nil
	}
	return registrations, strings.Join(names, ", "), nil
}
