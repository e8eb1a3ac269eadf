// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

// variant is a way to serve Jobs. The benchmarks compare variants.
type variant struct {
	// name identifies the variant in results.json, and label describes it to readers of the docs.
	name, label string
	// gated variants deny changes of annotations.
	gated bool
	// batchgate variants are served by Batchgate. Clients reach it through kube-apiserver, or
	// directly if bypass is set.
	batchgate, bypass bool
	// enter switches from native to this variant, and leave switches back.
	enter, leave func(*bench, context.Context) error
}

var (
	native              = &variant{name: "native", label: "kube-apiserver alone"}
	withAdmissionPolicy = &variant{name: "native + admission policy", label: "ValidatingAdmissionPolicy", gated: true,
		enter: func(b *bench, ctx context.Context) error { return b.createAdmissionPolicy(ctx, 1, false) },
		leave: (*bench).deleteAdmissionPolicy}
	withWebhook = &variant{name: "native + webhook", label: "validating webhook", gated: true, enter: (*bench).createWebhook, leave: (*bench).deleteWebhook}
	direct      = &variant{name: "Batchgate, direct", label: "Batchgate, direct connection", gated: true, batchgate: true, bypass: true, enter: (*bench).takeOver, leave: (*bench).rollBack}
	aggregated  = &variant{name: "Batchgate, aggregated", label: "Batchgate", gated: true, batchgate: true, enter: (*bench).takeOver, leave: (*bench).rollBack}

	// Variants that goals compare are next to each other.
	variants = []*variant{native, direct, aggregated, withAdmissionPolicy, withWebhook}
)

// config returns a client configuration of a user for a variant.
func (b *bench) config(v *variant, user string) *rest.Config {
	config := b.cluster.Config
	if user == withRole {
		config = b.withRole
	}
	if !v.bypass {
		return config
	}
	bypass := b.cluster.DirectConfig()
	bypass.TLSClientConfig.CertData, bypass.TLSClientConfig.KeyData = config.TLSClientConfig.CertData, config.TLSClientConfig.KeyData
	return bypass
}

// in switches to a variant, calls measure, and switches back.
func (b *bench) in(ctx context.Context, v *variant, measure func() error) error {
	if !v.batchgate && b.cluster.Batchgate.Running() {
		if err := b.cluster.Batchgate.Pause(); err != nil {
			return err
		}
		defer func() { _ = b.cluster.Batchgate.Resume() }()
	}
	if v.enter != nil {
		if err := v.enter(b, ctx); err != nil {
			return err
		}
	}
	if err := b.awaitGate(ctx, v); err != nil {
		return err
	}
	err := measure()
	if v.leave != nil {
		if leaveErr := v.leave(b, ctx); err == nil {
			err = leaveErr
		}
	}
	return err
}

// awaitGate waits until the variant is active: it denies or allows an update of annotations as it
// should, the right server responds, and the watch cache has the last write.
func (b *bench) awaitGate(ctx context.Context, v *variant) error {
	client, err := kubernetes.NewForConfig(b.config(v, ""))
	if err != nil {
		return err
	}
	jobs := client.BatchV1().Jobs(namespace)
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		patch := fmt.Appendf(nil, `{"metadata": {"annotations": {"at": "%d"}}}`, time.Now().UnixNano())
		_, err := jobs.Patch(ctx, jobName(0), types.MergePatchType, patch, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if denied := apierrors.IsInvalid(err) || apierrors.IsForbidden(err); denied != v.gated || err != nil && !denied {
			return false, nil
		}
		got, err := jobs.Patch(ctx, jobName(0), types.MergePatchType, []byte(`{"spec": {"parallelism": 1}}`), metav1.PatchOptions{})
		if err != nil || (got.SelfLink != "") != v.batchgate {
			return false, nil
		}
		_, err = jobs.List(ctx, metav1.ListOptions{Limit: 1, ResourceVersion: got.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		return err == nil, nil
	})
}

func (b *bench) takeOver(ctx context.Context) error { return b.cluster.TakeOver(ctx) }
func (b *bench) rollBack(ctx context.Context) error { return b.cluster.RollBack(ctx) }

//go:embed admission-policy.yaml
var admissionPolicyManifest string

// createAdmissionPolicy creates the ValidatingAdmissionPolicy and this many bindings. The first one is
// for the namespace of the benchmark. The others are for it too if all is set, otherwise for other
// namespaces.
func (b *bench) createAdmissionPolicy(ctx context.Context, bindings int, all bool) error {
	if _, _, err := b.cluster.Kubectl().WithStdin(admissionPolicyManifest).Run(ctx, "create", "--filename=-"); err != nil {
		return err
	}
	err := times(bindings, func(i int) error {
		where := namespace
		if i > 0 && !all {
			where = fmt.Sprintf("other-%d", i)
		}
		_, err := b.cluster.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(ctx, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("benchmark-%d", i), Labels: selected},
			Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName:        "benchmark",
				ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
				MatchResources:    &admissionregistrationv1.MatchResources{NamespaceSelector: inNamespace(where)},
			},
		}, metav1.CreateOptions{})
		return err
	})
	// kube-apiserver reloads policies once a second. awaitGate checks only one binding.
	pause(ctx, 2*time.Second)
	return err
}

// selected are the labels of all policies and bindings, and selector selects them.
var selected = map[string]string{"benchmark": "policy"}

const selector = "benchmark=policy"

func inNamespace(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}
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

func (b *bench) deleteAdmissionPolicy(ctx context.Context) error {
	api := b.cluster.Client.AdmissionregistrationV1()
	if err := api.ValidatingAdmissionPolicyBindings().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: selector}); err != nil {
		return err
	}
	return api.ValidatingAdmissionPolicies().Delete(ctx, "benchmark", metav1.DeleteOptions{})
}

func (b *bench) createWebhook(ctx context.Context) error {
	_, err := b.cluster.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "benchmark"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:         "jobs.benchmark.batchgate.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &b.webhookConfig.url, CABundle: b.webhookConfig.ca},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{batchv1.GroupName}, APIVersions: []string{"v1"}, Resources: []string{"jobs", "jobs/status"}},
			}},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}, metav1.CreateOptions{})
	return err
}

func (b *bench) deleteWebhook(ctx context.Context) error {
	return b.cluster.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(ctx, "benchmark", metav1.DeleteOptions{})
}
