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
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
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
var stages []byte

// Cluster is a control plane with Batchgate beside it.
type Cluster struct {
	// Dir holds all data, certificates and logs.
	Dir string
	// Kubeconfig is that of an admin, of the group system:masters.
	Kubeconfig string
	// Config, Client and Dynamic are that admin's.
	Config  *rest.Config
	Client  kubernetes.Interface
	Dynamic dynamic.Interface

	// Etcd is the first of the EtcdMembers.
	Etcd, APIServer, ControllerManager, Scheduler, Kwok *Process
	EtcdMembers                                         []*EtcdMember
	// Batchgate is nil until Install.
	Batchgate *Process
	// Replicas are those that InstallReplicas and StartReplica have started and nobody has
	// terminated; Balancer is what is in front of them.
	Replicas []*Replica
	Balancer *Balancer

	// others are the containers of LocalPods. Batchgate may be one of them.
	others []*Process
	// programs are clients, which end first: they would wait for servers that have ended.
	programs      []*Process
	features      Features
	binaries      Binaries
	pki           *clusterPKI
	ports         ports
	batchgateCA   []byte
	batchgatePort int

	deployment      *appsv1.Deployment
	serving         Serving
	replicasStarted int
}

type ports struct {
	etcdTLS, apiServer, controllerManager, scheduler int
}

// Features are what is on in all components of a cluster and is off by default.
type Features struct {
	// Gates are feature gates, as in A=true,B=true.
	Gates string
	// APIs is the --runtime-config of kube-apiserver.
	APIs string
	// APIServerArgs are further arguments of kube-apiserver.
	APIServerArgs []string
	// ControllerManagerArgs are further arguments of kube-controller-manager.
	ControllerManagerArgs []string
	// BatchgateArgs are further arguments of Batchgate. The last of a flag counts.
	BatchgateArgs []string
	// EtcdMembers is how many members etcd has, one unless it is set.
	EtcdMembers int
	// EtcdArgs are further arguments of each of them.
	EtcdArgs []string
	// Stages are what the fake kubelet does, in place of stages.yaml.
	Stages []byte
	// EtcdTLS makes etcd also serve clients that have a certificate, at EtcdTLSURL.
	EtcdTLS bool
}

// gateArgs returns the flag for the feature gates, if there are any.
func (f Features) gateArgs() []string {
	if f.Gates == "" {
		return nil
	}
	return []string{"--feature-gates=" + f.Gates}
}

// StartCluster starts a control plane that keeps everything in dir, which exists and is
// empty, and returns once it runs Pods on fake nodes. Stop it even where it fails.
func StartCluster(ctx context.Context, dir string, binaries Binaries, features Features) (*Cluster, error) {
	c := &Cluster{Dir: dir, features: features, binaries: binaries, Kubeconfig: filepath.Join(dir, "admin.kubeconfig")}
	for _, port := range []*int{&c.ports.etcdTLS, &c.ports.apiServer, &c.ports.controllerManager, &c.ports.scheduler} {
		var err error
		if *port, err = freePort(); err != nil {
			return c, err
		}
	}
	err := c.newEtcd()
	if err != nil {
		return c, err
	}
	if c.pki, err = newClusterPKI(dir, c.serverURL()); err != nil {
		return c, err
	}
	if features.Stages == nil {
		features.Stages = stages
	}
	if err := os.WriteFile(filepath.Join(dir, "stages.yaml"), features.Stages, 0o600); err != nil {
		return c, err
	}
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return c, err
	}
	c.Config.QPS = -1
	if c.Client, err = kubernetes.NewForConfig(c.Config); err != nil {
		return c, err
	}
	if c.Dynamic, err = dynamic.NewForConfig(c.Config); err != nil {
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
	gates := c.features.gateArgs()
	c.APIServer = c.process("kube-apiserver", c.tool("kube-apiserver"), slices.Concat(c.apiServerArgs(), gates, c.features.APIServerArgs))
	c.ControllerManager = c.process("kube-controller-manager", c.tool("kube-controller-manager"), slices.Concat(c.controllerManagerArgs(), gates, c.features.ControllerManagerArgs))
	c.Scheduler = c.process("kube-scheduler", c.tool("kube-scheduler"), append(c.schedulerArgs(), gates...))
	c.Kwok = c.process("kwok", c.tool("kwok"), c.kwokArgs())
	if err := c.startEtcd(); err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	for _, p := range []*Process{c.ControllerManager, c.Scheduler, c.Kwok} {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return c.addNodes(ctx)
}

// StartAPIServer starts kube-apiserver and waits until it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.APIServer.Start(); err != nil {
		return err
	}
	return c.APIServer.waitUntil(ctx, "ready", func(ctx context.Context) bool {
		return c.APIServerReady(ctx) == nil
	})
}

// APIServerReady returns nil if kube-apiserver says that it is ready.
func (c *Cluster) APIServerReady(ctx context.Context) error {
	return c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// waitUntil polls the condition until it holds. It gives up where the process ends, and
// after three minutes.
func (p *Process) waitUntil(ctx context.Context, what string, condition func(context.Context) bool) error {
	exited := p.Exited()
	err := wait.PollUntilContextTimeout(ctx, pollInterval, readyTimeout, true, func(ctx context.Context) (bool, error) {
		select {
		case <-exited:
			return false, errors.New("it ended")
		default:
			return condition(ctx), nil
		}
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to be %s: %w; see %s", p.Name, what, err, p.LogFile())
	}
	return nil
}

// Stop stops everything that was started, in reverse order, and returns what went wrong.
func (c *Cluster) Stop() error {
	errs := []error{c.stopReplicas()}
	var running []*Process
	for _, m := range c.EtcdMembers {
		running = append(running, m.Process)
	}
	running = slices.Concat(running, []*Process{c.APIServer}, c.others, []*Process{c.Batchgate, c.ControllerManager, c.Scheduler, c.Kwok}, c.programs)
	for _, p := range slices.Backward(running) {
		if p != nil {
			errs = append(errs, p.Stop())
		}
	}
	return errors.Join(errs...)
}

func (c *Cluster) process(name, binary string, args []string) *Process {
	return &Process{Name: name, binary: binary, args: args, dir: c.Dir}
}

func (c *Cluster) tool(name string) string { return filepath.Join(c.binaries.Tools, name) }

func (c *Cluster) serverURL() string { return fmt.Sprintf("https://127.0.0.1:%d", c.ports.apiServer) }
