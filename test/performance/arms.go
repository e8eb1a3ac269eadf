// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Names of arms, as results.json and the docs have them.
const (
	native              = "kube-apiserver alone"
	withAdmissionPolicy = "ValidatingAdmissionPolicy"
	withWebhook         = "validating webhook"
	aggregated          = "Batchgate"
	direct              = "Batchgate, direct connection"

	// Of a second binary of Batchgate, with -base.
	aggregatedBase = "base"
	directBase     = "base, direct connection"
)

// Namespaces of the arms. Each has its own Jobs.
const (
	namespace        = "benchmark"
	policyNamespace  = "policy"  // of the ValidatingAdmissionPolicy
	webhookNamespace = "webhook" // of the webhook
)

// arm is a way to serve Jobs. The benchmarks compare arms.
type arm struct {
	name      string
	plane     *plane
	namespace string
	// gated arms deny changes of annotations.
	gated bool
	// direct arms connect to Batchgate's port.
	direct bool
	// clients are the connections of each user. They last for the whole run.
	clients map[string][]*client
	// requests counts the requests for Jobs, so that they are for each Job in turn. For users with a
	// direct connection, Batchgate remembers for ten seconds which Jobs they may access. If the order of
	// the arms determined the Jobs, it would also determine how many are remembered.
	requests atomic.Int64
}

// connections returns n clients of a user, each with its own connection.
func (a *arm) connections(user string, n int) ([]*client, error) {
	if a.clients == nil {
		a.clients = map[string][]*client{}
	}
	for len(a.clients[user]) < n {
		c, err := newClient(a.plane.config(user, a.direct))
		if err != nil {
			return nil, err
		}
		a.clients[user] = append(a.clients[user], c)
	}
	return a.clients[user][:n], nil
}

// jobs returns the path of the arm's Jobs.
func (a *arm) jobs() string { return "/apis/batch/v1/namespaces/" + a.namespace + "/jobs" }

//go:embed admission-policy.yaml
var admissionPolicyManifest string

// createAdmissionPolicy creates the ValidatingAdmissionPolicy for policyNamespace, with this many
// bindings, which are all alike.
func (p *plane) createAdmissionPolicy(ctx context.Context, bindings int) error {
	if _, _, err := p.Kubectl().WithStdin(admissionPolicyManifest).Run(ctx, "apply", "--filename=-"); err != nil {
		return err
	}
	err := times(bindings, func(i int) error {
		_, err := p.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(ctx, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "benchmark-"},
			Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName:        "benchmark",
				ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
				MatchResources:    &admissionregistrationv1.MatchResources{NamespaceSelector: inNamespace(policyNamespace)},
			},
		}, metav1.CreateOptions{})
		return err
	})
	// kube-apiserver reloads policies once a second.
	pause(ctx, 2*time.Second)
	return err
}

func inNamespace(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}
}

// createWebhook registers the webhook for webhookNamespace.
func (p *plane) createWebhook(ctx context.Context, w *webhook) error {
	_, err := p.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "benchmark"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:         "jobs.benchmark.batchgate.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &w.url, CABundle: w.ca},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{batchv1.GroupName}, APIVersions: []string{"v1"}, Resources: []string{"jobs", "jobs/status"}},
			}},
			NamespaceSelector:       inNamespace(webhookNamespace),
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}, metav1.CreateOptions{})
	return err
}

// awaitGate waits until a patch of annotations is denied or allowed, as it should be.
func (a *arm) awaitGate(ctx context.Context) error {
	clients, err := a.connections(admin, 1)
	if err != nil {
		return err
	}
	probe := request{http.MethodPatch, a.jobs() + "/" + jobName(0) + "?dryRun=All", mergePatch, []byte(`{"metadata": {"annotations": {"at": "0"}}}`), http.StatusOK}
	if a.gated {
		probe.code = http.StatusUnprocessableEntity
	}
	deadline := time.Now().Add(time.Minute)
	for {
		err := clients[0].send(ctx, probe)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not active: %w", a.name, err)
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// times calls f for each number below n, up to 16 at the same time.
func times(n int, f func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { return f(i) })
	}
	return group.Wait()
}
