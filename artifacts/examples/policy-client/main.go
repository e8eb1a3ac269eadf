// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command policy-client is an example of a program that uses the generated client of
// JobUpdatePolicies. It watches them with a shared informer and logs which of them are active.
// It runs in a Pod, with the cluster role view, or elsewhere with --kubeconfig.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/generated/clientset/versioned"
	"github.com/batchgate/batchgate/pkg/generated/informers/externalversions"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "Path to a kubeconfig file. Defaults to the in-cluster configuration.")
	klog.InitFlags(nil)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run logs the state of all policies until ctx is done.
func run(ctx context.Context, kubeconfig string) error {
	config, err := restConfig(kubeconfig)
	if err != nil {
		return fmt.Errorf("loading the client configuration: %w; set --kubeconfig outside a Pod", err)
	}
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := externalversions.NewSharedInformerFactory(client, 0)
	policies := factory.Policy().V1alpha1().JobUpdatePolicies()
	logger := klog.FromContext(ctx)
	_, err = policies.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { report(logger, obj.(*v1alpha1.JobUpdatePolicy)) },
		UpdateFunc: func(_, obj any) { report(logger, obj.(*v1alpha1.JobUpdatePolicy)) },
	})
	if err != nil {
		return err
	}
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	<-ctx.Done()
	return nil
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}

// report logs whether a policy is active. The server reports this with the condition Ready, which
// describes the current spec once observedGeneration equals the generation.
func report(logger klog.Logger, p *v1alpha1.JobUpdatePolicy) {
	ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil || p.Status.ObservedGeneration != p.Generation:
		logger.Info("The server has not observed the policy yet", "policy", p.Name, "generation", p.Generation)
	case meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady):
		logger.Info("The policy is active", "policy", p.Name, "fields", p.Spec.Fields)
	default:
		logger.Info("The policy is not fully active", "policy", p.Name, "reason", ready.Reason, "message", ready.Message)
	}
}
