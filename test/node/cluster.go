// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// readyTimeout bounds the start of a node on a busy machine.
const readyTimeout = 3 * time.Minute

// Options configures a Cluster.
type Options struct {
	// Dir is an empty directory for the disks of the nodes, certificates and logs. Its file system
	// must support upper directories of overlays; overlay itself does not.
	Dir string
	// Programs has the programs of the control plane and of nodes.
	Programs Programs
	// Nodes is the number of nodes; 0 means 1.
	Nodes int
	// APIServerArgs are added to the arguments of each kube-apiserver.
	APIServerArgs []string
	// BatchEtcd makes kube-apiserver keep Jobs and CronJobs in another etcd.
	BatchEtcd bool
	// APIServers is the number of kube-apiservers on the first node, 1 or 2; 0 means 1.
	APIServers int
}

// Cluster is a control plane with real nodes.
type Cluster struct {
	// Kubeconfig, Config and Client authenticate as an admin in system:masters. Config connects
	// from within the network of the first node.
	Kubeconfig string
	Config     *rest.Config
	Client     kubernetes.Interface
	// Nodes are the nodes. The first one has the control plane.
	Nodes []*Node

	options Options
	pki     *certificates
	// id distinguishes the clusters of this process.
	id int64
}

var clusters atomic.Int64

// Start starts a cluster and returns when its nodes are ready. The caller must stop the returned
// cluster even if Start fails.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	c := &Cluster{options: options, id: clusters.Add(1), Kubeconfig: filepath.Join(options.Dir, "admin.kubeconfig")}
	var err error
	if c.pki, err = newCertificates(options.Dir); err != nil {
		return c, err
	}
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return c, err
	}
	for i := range max(options.Nodes, 1) {
		n := &Node{
			Name: fmt.Sprintf("node%d", i+1), IP: fmt.Sprintf("10.99.0.%d", 11+i), index: i, cluster: c,
			dir: filepath.Join(options.Dir, fmt.Sprintf("node%d", i+1)),
		}
		c.Nodes = append(c.Nodes, n)
		if err := n.prepare(); err != nil {
			return c, err
		}
	}
	c.Config.QPS = -1
	c.Config.Dial = c.Nodes[0].dial
	c.Config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	if c.Client, err = kubernetes.NewForConfig(c.Config); err != nil {
		return c, err
	}
	for _, n := range c.Nodes {
		if err := n.Boot(); err != nil {
			return c, err
		}
	}
	if err := c.waitServing(ctx); err != nil {
		return c, err
	}
	for _, n := range c.Nodes {
		if err := n.WaitReady(ctx); err != nil {
			return c, err
		}
	}
	return c, nil
}

// waitServing waits until kube-apiserver is ready.
func (c *Cluster) waitServing(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, readyTimeout, true, func(ctx context.Context) (bool, error) {
		last = c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for kube-apiserver: %w: %w; see %s", err, last, c.Nodes[0].LogFile("kube-apiserver"))
	}
	return nil
}

// WaitReady waits until the node is ready.
func (n *Node) WaitReady(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, readyTimeout, true, func(ctx context.Context) (bool, error) {
		object, err := n.cluster.Client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
		last = err
		if err != nil {
			return false, nil
		}
		for _, condition := range object.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				last = errors.New(condition.Message)
				return condition.Status == corev1.ConditionTrue, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w: %w; see %s", n.Name, err, last, n.LogFile("kubelet"))
	}
	return nil
}

// Stop powers off all nodes at the same time. The disks stay until the directory is deleted.
func (c *Cluster) Stop() error {
	var group errgroup.Group
	for _, n := range c.Nodes {
		group.Go(n.PowerOff)
	}
	return group.Wait()
}

// LogTails returns the ends of all logs of the nodes.
func (c *Cluster) LogTails() string {
	var all string
	for _, n := range c.Nodes {
		files, _ := filepath.Glob(n.LogFile("*"))
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			const most = 3000
			all += fmt.Sprintf("== %s\n%s\n", file, content[max(0, len(content)-most):])
		}
	}
	return all
}
