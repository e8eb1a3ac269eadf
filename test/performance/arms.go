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

// arm is one of what is compared.
type arm struct {
	name string
	// gated is whether it refuses changes of annotations.
	gated bool
	// batchgate is whether Batchgate answers: through kube-apiserver, or straight.
	batchgate, straight bool
	// enter and leave switch to it and back to kube-apiserver as it is by itself.
	enter, leave func(*bench, context.Context) error
}

var (
	native     = &arm{name: "native"}
	withPolicy = &arm{name: "native + policy", gated: true,
		enter: func(b *bench, ctx context.Context) error { return b.applyPolicy(ctx, 1, false) },
		leave: (*bench).deletePolicy}
	withWebhook = &arm{name: "native + webhook", gated: true, enter: (*bench).applyWebhook, leave: (*bench).deleteWebhook}
	direct      = &arm{name: "Batchgate, direct", gated: true, batchgate: true, straight: true, enter: (*bench).takeOver, leave: (*bench).rollBack}
	aggregated  = &arm{name: "Batchgate, aggregated", gated: true, batchgate: true, enter: (*bench).takeOver, leave: (*bench).rollBack}

	// Next to each other are those that goals compare.
	arms = []*arm{native, direct, aggregated, withPolicy, withWebhook}
)

// config returns how a user gets to the arm.
func (b *bench) config(a *arm, user string) *rest.Config {
	config := b.cluster.Config
	if user == limited {
		config = b.limited
	}
	if !a.straight {
		return config
	}
	straight := b.cluster.DirectConfig()
	straight.TLSClientConfig.CertData, straight.TLSClientConfig.KeyData = config.TLSClientConfig.CertData, config.TLSClientConfig.KeyData
	return straight
}

// in measures within an arm.
func (b *bench) in(ctx context.Context, a *arm, measure func() error) error {
	if !a.batchgate && b.cluster.Batchgate.Running() {
		if err := b.cluster.Batchgate.Pause(); err != nil {
			return err
		}
		defer func() { _ = b.cluster.Batchgate.Resume() }()
	}
	if a.enter != nil {
		if err := a.enter(b, ctx); err != nil {
			return err
		}
	}
	if err := b.awaitGate(ctx, a); err != nil {
		return err
	}
	err := measure()
	if a.leave != nil {
		if leaveErr := a.leave(b, ctx); err == nil {
			err = leaveErr
		}
	}
	return err
}

// awaitGate waits until the arm refuses what it is to refuse, or lets it through, and its
// caches have what is stored.
func (b *bench) awaitGate(ctx context.Context, a *arm) error {
	client, err := kubernetes.NewForConfig(b.config(a, ""))
	if err != nil {
		return err
	}
	jobs := client.BatchV1().Jobs(namespace)
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		patch := fmt.Appendf(nil, `{"metadata": {"annotations": {"at": "%d"}}}`, time.Now().UnixNano())
		_, err := jobs.Patch(ctx, jobName(0), types.MergePatchType, patch, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if refused := apierrors.IsInvalid(err) || apierrors.IsForbidden(err); refused != a.gated || err != nil && !refused {
			return false, nil
		}
		got, err := jobs.Patch(ctx, jobName(0), types.MergePatchType, []byte(`{"spec": {"parallelism": 1}}`), metav1.PatchOptions{})
		if err != nil || (got.SelfLink != "") != a.batchgate {
			return false, nil
		}
		_, err = jobs.List(ctx, metav1.ListOptions{Limit: 1, ResourceVersion: got.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		return err == nil, nil
	})
}

func (b *bench) takeOver(ctx context.Context) error { return b.cluster.TakeOver(ctx) }
func (b *bench) rollBack(ctx context.Context) error { return b.cluster.RollBack(ctx) }

//go:embed policy.yaml
var policyManifest string

// applyPolicy applies the policy with so many bindings. One of them is for the namespace of
// the benchmark, the others are too (all), or are for other namespaces.
func (b *bench) applyPolicy(ctx context.Context, bindings int, all bool) error {
	if _, _, err := b.cluster.Kubectl().WithStdin(policyManifest).Run(ctx, "create", "--filename=-"); err != nil {
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
	// kube-apiserver takes up new ones once a second, and awaitGate sees one of them.
	pause(ctx, 2*time.Second)
	return err
}

// selected are the labels of what is made in numbers, selector selects it.
var selected = map[string]string{"benchmark": "policy"}

const selector = "benchmark=policy"

func inNamespace(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}
}

// times calls f for each number below n, several at a time.
func times(n int, f func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { return f(i) })
	}
	return group.Wait()
}

func (b *bench) deletePolicy(ctx context.Context) error {
	api := b.cluster.Client.AdmissionregistrationV1()
	if err := api.ValidatingAdmissionPolicyBindings().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: selector}); err != nil {
		return err
	}
	return api.ValidatingAdmissionPolicies().Delete(ctx, "benchmark", metav1.DeleteOptions{})
}

func (b *bench) applyWebhook(ctx context.Context) error {
	_, err := b.cluster.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "benchmark"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:         "jobs.benchmark.batchgate.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &b.hook.url, CABundle: b.hook.ca},
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
