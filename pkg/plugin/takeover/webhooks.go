// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// webhookFailed is in the error of a request if an API server could not call a webhook.
const webhookFailed = "failed calling webhook"

// webhook is the part of a validating or mutating webhook that the check uses.
type webhook struct {
	name   string
	client admissionv1.WebhookClientConfig
	fails  bool // whether a request fails if the webhook cannot be called
	// selective is set if the webhook might not be called for the Jobs and CronJobs that checks create.
	selective bool
}

// WebhookPermissions returns the permissions that the check of webhooks needs.
func WebhookPermissions() []authorizationv1.ResourceAttributes {
	needed := []authorizationv1.ResourceAttributes{
		{Resource: "services", Verb: "get"},
		{Group: "discovery.k8s.io", Resource: "endpointslices", Verb: "list"},
	}
	for _, resource := range []string{"validatingwebhookconfigurations", "mutatingwebhookconfigurations"} {
		needed = append(needed, authorizationv1.ResourceAttributes{Group: admissionv1.GroupName, Resource: resource, Verb: "list"})
	}
	return needed
}

// WebhookCheck returns the check that Batchgate can call the webhooks for Jobs and CronJobs. It
// creates them in the namespace, as a dry run. Empty means "default".
func WebhookCheck(c *cluster.Cluster, b *cluster.Batchgate, namespace string) steps.Step {
	p := &preflight{cluster: c, batchgate: b, namespace: namespace}
	return steps.Step{Name: "webhooks", Run: p.checkWebhooks}
}

// checkWebhooks fails if Batchgate cannot call a webhook for Jobs or CronJobs. It reads the
// webhooks' Services, and makes Batchgate call the webhooks for a dry run.
func (p *preflight) checkWebhooks(ctx context.Context) (string, error) {
	direct, err := p.batchgate.Connect(ctx)
	if err != nil {
		return "", err
	}
	webhooks, err := p.batchWebhooks(ctx)
	if err != nil {
		return "", err
	}
	var problems, notes []string
	for _, w := range webhooks {
		problem, note, err := p.checkWebhook(ctx, w)
		if err != nil {
			return "", err
		}
		if problem != "" {
			problems = append(problems, fmt.Sprintf("webhook %s: %s", w.name, problem))
		}
		if note != "" {
			notes = append(notes, fmt.Sprintf("webhook %s: %s", w.name, note))
		}
	}
	if len(webhooks) > 0 {
		problem, note := p.callWebhooks(ctx, direct)
		if problem != "" {
			problems = append(problems, problem)
		}
		if note != "" {
			notes = append(notes, note)
		}
	}
	if len(problems) > 0 {
		return "", fmt.Errorf("%s", strings.Join(problems, "; "))
	}
	return strings.Join(append([]string{fmt.Sprintf("%d for Jobs and CronJobs", len(webhooks))}, notes...), "; "), nil
}

// batchWebhooks returns the webhooks for Jobs and CronJobs.
func (p *preflight) batchWebhooks(ctx context.Context) ([]webhook, error) {
	client := p.cluster.Kube.AdmissionregistrationV1()
	validating, err := client.ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the webhooks: %w", err)
	}
	mutating, err := client.MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the webhooks: %w", err)
	}
	var found []webhook
	add := func(configuration, name string, rules []admissionv1.RuleWithOperations, config admissionv1.WebhookClientConfig, policy *admissionv1.FailurePolicyType, selective bool) {
		if slices.ContainsFunc(rules, matchesBatch) {
			selective = selective || !slices.ContainsFunc(rules, matchesCanaries)
			found = append(found, webhook{configuration + "/" + name, config, policy == nil || *policy == admissionv1.Fail, selective})
		}
	}
	for _, configuration := range validating.Items {
		for _, w := range configuration.Webhooks {
			add(configuration.Name, w.Name, w.Rules, w.ClientConfig, w.FailurePolicy, selects(w.NamespaceSelector) || selects(w.ObjectSelector) || len(w.MatchConditions) > 0)
		}
	}
	for _, configuration := range mutating.Items {
		for _, w := range configuration.Webhooks {
			add(configuration.Name, w.Name, w.Rules, w.ClientConfig, w.FailurePolicy, selects(w.NamespaceSelector) || selects(w.ObjectSelector) || len(w.MatchConditions) > 0)
		}
	}
	return found, nil
}

// selects reports whether a selector excludes anything.
func selects(selector *metav1.LabelSelector) bool {
	return selector != nil && len(selector.MatchLabels)+len(selector.MatchExpressions) > 0
}

// matchesCanaries reports whether a rule matches the creation of Jobs or CronJobs.
func matchesCanaries(rule admissionv1.RuleWithOperations) bool {
	return matchesBatch(rule) &&
		slices.ContainsFunc(rule.Operations, func(o admissionv1.OperationType) bool {
			return o == admissionv1.OperationAll || o == admissionv1.Create
		}) &&
		slices.ContainsFunc(rule.Resources, func(resource string) bool {
			return slices.Contains([]string{"*", "*/*", "jobs", "cronjobs"}, resource)
		})
}

// matchesBatch reports whether a rule matches Jobs or CronJobs or one of their subresources.
func matchesBatch(rule admissionv1.RuleWithOperations) bool {
	has := func(list []string, value string) bool {
		return slices.Contains(list, "*") || slices.Contains(list, value)
	}
	return has(rule.APIGroups, batchv1.GroupName) && has(rule.APIVersions, batchv1.SchemeGroupVersion.Version) &&
		(rule.Scope == nil || *rule.Scope != admissionv1.ClusterScope) &&
		slices.ContainsFunc(rule.Resources, func(resource string) bool {
			resource, _, _ = strings.Cut(resource, "/")
			return has([]string{resource}, "jobs") || resource == "cronjobs"
		})
}

// checkWebhook returns why Batchgate cannot call the webhook, or a note if that is uncertain.
func (p *preflight) checkWebhook(ctx context.Context, w webhook) (problem, note string, err error) {
	if w.client.Service == nil {
		if w.client.URL == nil {
			return "", "", nil
		}
		target, err := url.Parse(*w.client.URL)
		if err == nil && isLoopback(target.Hostname()) {
			return "", "it runs on kube-apiserver's host, which Batchgate reaches only on the same host and network", nil
		}
		return "", "Batchgate must reach " + *w.client.URL + ", from its own network", nil
	}
	name := cluster.Service{Namespace: w.client.Service.Namespace, Name: w.client.Service.Name}
	service, err := p.cluster.Kube.CoreV1().Services(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		problem = "its Service " + name.String() + " does not exist"
	case err != nil:
		return "", "", fmt.Errorf("reading the Service of webhook %s: %w", w.name, err)
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		return "", "", nil
	case service.Spec.ClusterIP == corev1.ClusterIPNone:
		// kube-apiserver can call it, with --enable-aggregator-routing. So the webhook would be skipped or
		// fail for the first time after a takeover.
		return "its Service " + name.String() + " is headless, so Batchgate cannot call it: give the Service a cluster IP", "", nil
	default:
		_, ready, err := p.cluster.CountEndpoints(ctx, name)
		if err != nil {
			return "", "", err
		}
		if ready == 0 {
			problem = "its Service " + name.String() + " has no ready endpoint"
		}
	}
	if problem != "" && !w.fails {
		return "", problem, nil // kube-apiserver skips it, too
	}
	if problem != "" {
		problem += ": repair or delete the webhook"
	}
	switch {
	case problem != "":
	case !w.fails:
		note = "has failurePolicy Ignore, so it is unknown whether Batchgate reaches it"
	case w.selective:
		note = "is not called for all requests, so it is unknown whether Batchgate reaches it"
	}
	return problem, note, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// callWebhooks creates a Job and a CronJob as a dry run, for which Batchgate calls the webhooks. It
// ignores denials, which the canary reports.
func (p *preflight) callWebhooks(ctx context.Context, direct cluster.Server) (problem, note string) {
	opts := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	namespace := cmp.Or(p.namespace, metav1.NamespaceDefault)
	name := canaryPrefix + rand.String(10)
	_, jobErr := direct.BatchV1().Jobs(namespace).Create(ctx, newCanaryJob(namespace, name), opts)
	_, cronJobErr := direct.BatchV1().CronJobs(namespace).Create(ctx, newCanaryCronJob(namespace, name), opts)
	for kind, err := range map[string]error{"Job": jobErr, "CronJob": cronJobErr} {
		switch {
		case err == nil:
		case strings.Contains(err.Error(), webhookFailed):
			problem = fmt.Sprintf("Batchgate cannot call a webhook for a %s: %v: let Batchgate's Pods connect to it", kind, err)
		case strings.Contains(err.Error(), "does not support dry run"):
			note = "one does not support dry runs, so the canary calls it first"
		}
	}
	return problem, note
}
