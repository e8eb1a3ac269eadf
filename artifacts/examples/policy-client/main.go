// Command policy-client is an example of a program that uses the generated client of
// JobUpdatePolicies. It watches them by a shared informer, and logs which are in force and
// which are not. It may run in a Pod, with the rights that the cluster role view gives, or
// anywhere else with --kubeconfig.
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
	kubeconfig := flag.String("kubeconfig", "", "the kubeconfig to use; that of the Pod it runs in if empty")
	klog.InitFlags(nil)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run logs until ctx is done.
func run(ctx context.Context, kubeconfig string) error {
	config, err := restConfig(kubeconfig)
	if err != nil {
		return fmt.Errorf("finding the cluster: %w; give --kubeconfig outside of a Pod", err)
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

// report logs whether all of a policy is in force. The server says so by the condition Ready,
// which is about the policy as it is now once it has observed its generation.
func report(logger klog.Logger, p *v1alpha1.JobUpdatePolicy) {
	ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil || p.Status.ObservedGeneration != p.Generation:
		logger.Info("The server has not seen the policy yet", "policy", p.Name, "generation", p.Generation)
	case meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady):
		logger.Info("The policy is in force", "policy", p.Name, "fields", p.Spec.Fields)
	default:
		logger.Info("The policy is not all in force", "policy", p.Name, "reason", ready.Reason, "message", ready.Message)
	}
}
