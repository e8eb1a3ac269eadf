package takeover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// refusesWrites asks a server whether it does. An error is one of the question.
func refusesWrites(ctx context.Context, client kubernetes.Interface) (bool, error) {
	job := canary()
	_, err := client.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil && (strings.Contains(err.Error(), frozenMessage) || strings.Contains(err.Error(), guardMessage)) {
		return true, nil
	}
	return false, err
}

// awaitWrites waits until kube-apiserver, and other servers, have refused writes, or not, for
// some time without a gap.
func (c *Cluster) awaitWrites(ctx context.Context, refused bool, settle time.Duration, others ...kubernetes.Interface) error {
	var since time.Time
	return wait.PollUntilContextTimeout(ctx, 250*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		fresh, closeFresh, err := c.fresh()
		if err != nil {
			return false, err
		}
		defer closeFresh()
		for _, server := range append(others, fresh) {
			refuses, err := refusesWrites(ctx, server)
			// Some other policy of the cluster's may refuse this Job.
			answered := err == nil || apierrors.IsInvalid(err) || apierrors.IsForbidden(err)
			if refused && err != nil {
				return false, err
			}
			if !answered || refuses != refused {
				since = time.Time{}
				return false, nil
			}
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) >= settle, nil
	})
}

// awaitSwitched waits until every kube-apiserver serves Jobs from the store, as seen by new
// connections.
func (c *Cluster) awaitSwitched(store *Store) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var since time.Time
		var last error
		err := wait.PollUntilContextTimeout(ctx, 250*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
			fresh, closeFresh, err := c.fresh()
			if err != nil {
				return false, err
			}
			defer closeFresh()
			if last = usesStore(ctx, fresh.BatchV1().RESTClient(), "jobs", store); last != nil {
				since = time.Time{}
				return false, nil
			}
			if since.IsZero() {
				since = time.Now()
			}
			return time.Since(since) >= settleTime, nil
		})
		if err != nil {
			return "", fmt.Errorf("waiting for every kube-apiserver to serve the Jobs that were moved: %w", errors.Join(err, last))
		}
		return "have done so for " + settleTime.String(), nil
	}
}

// fresh returns a client with a connection of its own: behind one address there may be several
// kube-apiservers.
func (c *Cluster) fresh() (kubernetes.Interface, func(), error) {
	config := rest.CopyConfig(c.Config)
	config.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, nil, err
	}
	client, err := kubernetes.NewForConfigAndClient(config, transport)
	return client, transport.CloseIdleConnections, err
}
