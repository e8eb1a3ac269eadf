package takeover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	acceptAggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	// missingTime is how long the APIService is away. Every kube-apiserver must have noticed;
	// they do so within milliseconds.
	missingTime = 2 * time.Second
	// renewals is how often this is tried.
	renewals = 3
)

// renewDiscovery makes kube-apiservers forget that Batchgate has served batch/v1. They go on asking
// it for its part of discovery, whatever v1.batch says (discoveryManager.AddAPIService of
// kube-aggregator v0.37 overlooks an APIService whose Service has gone). Once Batchgate does not answer,
// batch/v1 is stale and empty in discovery: kubectl knows no Jobs, the garbage collector is blind, and
// namespaces stay in Terminating. They forget when the APIService is deleted. kube-apiserver serves
// batch/v1 while it is away, and lists it; in the older form of discovery it is missing.
func (c *Cluster) renewDiscovery(ctx context.Context) (string, error) {
	if _, err := c.CheckPermissions(ctx, apiServicePermissions()); err != nil {
		return "", err
	}
	for range renewals {
		if err := c.renew(ctx); err != nil {
			return "", err
		}
		fresh := false
		err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 5*time.Second, true, func(ctx context.Context) (bool, error) {
			var err error
			fresh, err = c.discovered(ctx)
			return fresh, err
		})
		if err == nil {
			return "kube-apiserver asks Batchgate no more", nil
		}
		if ctx.Err() != nil || fresh {
			return "", err
		}
	}
	return "", errors.New("batch/v1 is still stale in discovery: restart kube-apiserver")
}

// renew deletes the APIService, which is kube-apiserver's already, and makes it again.
func (c *Cluster) renew(ctx context.Context) error {
	serving, err := c.Serving(ctx)
	if err != nil {
		return err
	}
	if serving.Service != nil {
		return fmt.Errorf("%s was given to %s meanwhile", BatchAPIService, serving.Server())
	}
	// Nobody else shall find it missing because this was interrupted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	err = c.Dynamic.Resource(apiServices).Delete(ctx, BatchAPIService, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{ResourceVersion: &serving.resourceVersion},
	})
	if err != nil {
		return fmt.Errorf("deleting APIService %s, to make it anew: %w", BatchAPIService, err)
	}
	time.Sleep(missingTime)
	err = wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		err := c.create(ctx, rollbackPatch())
		return err == nil || apierrors.IsAlreadyExists(err), nil
	})
	if err != nil {
		return fmt.Errorf("making APIService %s anew: %w; run: %s", BatchAPIService, err, rollbackCommand)
	}
	return nil
}

// discovered reports whether all kube-apiservers, as far as one of several connections tells, have
// batch/v1 in discovery, and not stale.
func (c *Cluster) discovered(ctx context.Context) (bool, error) {
	for range renewals {
		fresh, closeFresh, err := c.fresh()
		if err != nil {
			return false, err
		}
		content, err := fresh.Discovery().RESTClient().Get().AbsPath("/apis").SetHeader("Accept", acceptAggregated).Do(ctx).Raw()
		closeFresh()
		if err != nil {
			return false, fmt.Errorf("reading discovery: %w", err)
		}
		var list apidiscoveryv2.APIGroupDiscoveryList
		if err := json.Unmarshal(content, &list); err != nil {
			return false, fmt.Errorf("reading discovery: %w", err)
		}
		if !current(&list) {
			return false, nil
		}
	}
	return true, nil
}

func current(list *apidiscoveryv2.APIGroupDiscoveryList) bool {
	for _, group := range list.Items {
		for _, version := range group.Versions {
			if group.Name == batchv1.GroupName && version.Version == batchv1.SchemeGroupVersion.Version {
				return version.Freshness == apidiscoveryv2.DiscoveryFreshnessCurrent && len(version.Resources) > 0
			}
		}
	}
	return false
}
