// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// readyTimeout bounds the start of one component on a busy machine.
	readyTimeout = 3 * time.Minute

	pollInterval = 200 * time.Millisecond
)

//go:embed stages.yaml
var defaultStages []byte

// Cluster is a control plane with fake nodes, and Batchgate once it is installed.
type Cluster struct {
	// Dir holds all data, certificates and logs.
	Dir string
	// Kubeconfig, Config and Client authenticate as an admin in system:masters.
	Kubeconfig string
	Config     *rest.Config
	Client     kubernetes.Interface

	// Etcd is the first of the EtcdMembers.
	Etcd, APIServer, ControllerManager, Scheduler, Kwok *Process
	EtcdMembers                                         []*EtcdMember
	// APIServers are the kube-apiservers. APIServer is the first.
	APIServers []*KubeAPIServer
	// Batchgate is nil before Install and with InstallReplicas.
	Batchgate *Process
	// Replicas are the running replicas of InstallReplicas and StartReplica.
	Replicas []*Replica
	// Pods are the containers of Batchgate's Pods with InstallPods.
	Pods []*Process

	// containers are the processes of LocalPods. Batchgate may be one of them.
	containers []*Process
	// controllers are the processes of StartController. They stop before the servers, because they
	// would wait for a stopped server.
	controllers []*Process
	// proxy is the Service in front of the Replicas.
	proxy *serviceProxy
	// network has the addresses of the Pods of InstallPods.
	network *podNetwork
	// loadBalancer is in front of the kube-apiservers if there are several. After InstallPods,
	// kubernetesService is in front of the single kube-apiserver.
	loadBalancer, kubernetesService *serviceProxy
	silentEtcds                     []*SilentEtcd

	options  ClusterOptions
	binaries Binaries
	pki      *clusterPKI
	ports    ports

	// batchgatePort is the port of Batchgate, or of the proxy in front of it.
	batchgatePort int
	// batchgateCA verifies the serving certificate of Batchgate.
	batchgateCA []byte
	serving     ServingCertificate
	deployment  *appsv1.Deployment
	// replicasStarted numbers the replicas.
	replicasStarted int
}

type ports struct {
	etcdTLS, apiServer, controllerManager, scheduler int
}

// StartCluster starts a control plane without Batchgate and returns when it can run Pods. The
// directory must exist and be empty. The caller must stop the returned cluster even if
// StartCluster fails.
func StartCluster(ctx context.Context, directory string, binaries Binaries, options ClusterOptions) (*Cluster, error) {
	c := &Cluster{Dir: directory, options: options, binaries: binaries, Kubeconfig: filepath.Join(directory, "admin.kubeconfig")}
	for _, port := range []*int{&c.ports.etcdTLS, &c.ports.controllerManager, &c.ports.scheduler} {
		var err error
		if *port, err = FreePort(); err != nil {
			return c, err
		}
	}
	err := c.newEtcd()
	if err != nil {
		return c, err
	}
	if err := c.allocateAPIServers(); err != nil {
		return c, err
	}
	if c.pki, err = newClusterPKI(directory, c.apiServerURL()); err != nil {
		return c, err
	}
	stages := options.KwokStages
	if stages == nil {
		stages = defaultStages
	}
	if err := os.WriteFile(filepath.Join(directory, "stages.yaml"), stages, 0o600); err != nil {
		return c, err
	}
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return c, err
	}
	c.Config.QPS = -1
	if c.Client, err = kubernetes.NewForConfig(c.Config); err != nil {
		return c, err
	}
	return c, c.start(ctx)
}

func (c *Cluster) start(ctx context.Context) error {
	args, err := c.etcdTLSArgs()
	if err != nil {
		return err
	}
	c.EtcdMembers[0].args = append(c.EtcdMembers[0].args, args...)
	gates := c.options.featureGateArgs()
	c.defineAPIServers()
	c.ControllerManager = c.tool("kube-controller-manager", slices.Concat(c.controllerManagerArgs(), gates, c.options.ControllerManagerArgs))
	c.Scheduler = c.tool("kube-scheduler", append(c.schedulerArgs(), gates...))
	c.Kwok = c.tool("kwok", c.kwokArgs())
	for _, m := range c.EtcdMembers {
		if err := m.Start(); err != nil {
			return err
		}
	}
	for _, s := range c.APIServers {
		if err := c.startKubeAPIServer(ctx, s); err != nil {
			return err
		}
	}
	for _, p := range []*Process{c.ControllerManager, c.Scheduler, c.Kwok} {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return c.addNodes(ctx)
}

// StartAPIServer starts the first kube-apiserver and waits until it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	return c.startKubeAPIServer(ctx, c.APIServers[0])
}

// APIServerReady returns an error unless kube-apiserver is ready.
func (c *Cluster) APIServerReady(ctx context.Context) error {
	return c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// Stop stops all processes in reverse order and returns all errors.
func (c *Cluster) Stop() error {
	if c.network != nil {
		c.network.cancel()
		<-c.network.done
	}
	errs := []error{c.stopReplicas()}
	var started []*Process
	for _, m := range c.EtcdMembers {
		started = append(started, m.Process)
	}
	for _, s := range c.APIServers {
		started = append(started, s.Process)
	}
	started = slices.Concat(started, c.containers, []*Process{c.Batchgate, c.ControllerManager, c.Scheduler, c.Kwok}, c.controllers)
	for _, p := range slices.Backward(started) {
		if p != nil {
			errs = append(errs, p.Stop())
		}
	}
	for _, proxy := range []*serviceProxy{c.loadBalancer, c.kubernetesService} {
		if proxy != nil {
			proxy.close()
		}
	}
	for _, e := range c.silentEtcds {
		errs = append(errs, e.stop())
	}
	return errors.Join(errs...)
}

func (c *Cluster) process(name, binary string, args []string) *Process {
	return &Process{Name: name, binary: binary, args: args, dir: c.Dir}
}

// tool returns the process of a tool.
func (c *Cluster) tool(name string, args []string) *Process {
	return c.process(name, c.toolPath(name), args)
}

// Binaries returns the programs that the cluster runs.
func (c *Cluster) Binaries() Binaries { return c.binaries }

func (c *Cluster) toolPath(name string) string { return c.binaries.tool(name) }

func (c *Cluster) apiServerURL() string { return "https://" + loopback(c.ports.apiServer) }

// loopback returns the address of a port on the loopback interface.
func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
