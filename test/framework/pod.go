package framework

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// Machine says what of a Pod's containers cannot be on this machine as their spec says.
type Machine struct {
	// Ports are the local ports for those of containers. One that is missing is chosen.
	Ports map[int32]int
	// Addresses are replaced in arguments, as in example.svc:2379 by 127.0.0.1:20001.
	Addresses map[string]string
	// HostPaths are the local directories and files for those of the node.
	HostPaths map[string]string
}

// LocalPod is a Pod whose containers are processes of this machine, since the nodes are fake.
type LocalPod struct {
	// Processes are the containers, in the order of the spec.
	Processes []*Process

	pod     *corev1.Pod
	machine Machine
	init    []*Process
}

// NewPod prepares to run a Pod as its spec says: its arguments with variables expanded, its
// volumes with the content of the cluster's Secrets and ConfigMaps. Only addresses, ports and
// paths are others, as the machine has it.
func (c *Cluster) NewPod(ctx context.Context, pod *corev1.Pod, machine Machine) (*LocalPod, error) {
	p := &LocalPod{pod: pod, machine: machine}
	p.machine.Ports = maps.Clone(machine.Ports)
	if p.machine.Ports == nil {
		p.machine.Ports = map[int32]int{}
	}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if p.machine.Ports[port.ContainerPort] != 0 {
				continue
			}
			var err error
			if p.machine.Ports[port.ContainerPort], err = freePort(); err != nil {
				return nil, err
			}
		}
	}
	volumes, err := c.mountVolumes(ctx, pod, machine)
	if err != nil {
		return nil, fmt.Errorf("mounting the volumes of Pod %s: %w", pod.Name, err)
	}
	for _, list := range []struct {
		containers []corev1.Container
		processes  *[]*Process
	}{{pod.Spec.InitContainers, &p.init}, {pod.Spec.Containers, &p.Processes}} {
		for _, container := range list.containers {
			process, err := c.containerProcess(ctx, p, &container, volumes)
			if err != nil {
				return nil, fmt.Errorf("container %s of Pod %s: %w", container.Name, pod.Name, err)
			}
			*list.processes = append(*list.processes, process)
			c.others = append(c.others, process)
		}
	}
	return p, nil
}

// containerProcess returns the process for a container.
func (c *Cluster) containerProcess(ctx context.Context, p *LocalPod, container *corev1.Container, volumes map[string]string) (*Process, error) {
	env, err := c.containerEnv(ctx, p.pod, container)
	if err != nil {
		return nil, err
	}
	replaced := maps.Clone(p.machine.Addresses)
	if replaced == nil {
		replaced = map[string]string{}
	}
	for containerPort, local := range p.machine.Ports {
		replaced[fmt.Sprintf("0.0.0.0:%d", containerPort)] = fmt.Sprintf("127.0.0.1:%d", local)
		replaced[fmt.Sprintf("--secure-port=%d", containerPort)] = fmt.Sprintf("--secure-port=%d", local)
	}
	for _, mount := range container.VolumeMounts {
		replaced[mount.MountPath] = volumes[mount.Name]
	}
	replace := replacer(replaced)
	var args []string
	for _, arg := range slices.Concat(container.Command, container.Args) {
		args = append(args, replace.Replace(expansion.Expand(arg, expansion.MappingFuncFor(env))))
	}
	process := c.process(p.pod.Name+"-"+container.Name, "", args)
	switch {
	case len(container.Command) > 0:
		process.binary, process.args = c.tool(args[0]), args[1:]
	case strings.HasPrefix(container.Image, Name+":"):
		process.binary, process.graceful = c.binaries.Batchgate, true
	default:
		return nil, fmt.Errorf("the program of the image %s is not known here", container.Image)
	}
	if strings.Contains(strings.Join(args, " "), "--secure-port=") {
		process.args = append(process.args, "--bind-address=127.0.0.1")
	}
	if token := serviceAccountVolume(p.pod); token != "" && process.graceful {
		if err := c.serviceAccountKubeconfig(ctx); err != nil {
			return nil, err
		}
		process.args = append(process.args, "--kubeconfig="+c.pki.path("batchgate.kubeconfig"))
	}
	return process, nil
}

// replacer replaces the keys by their values, of two that begin alike the longer one.
func replacer(replaced map[string]string) *strings.Replacer {
	keys := slices.SortedFunc(maps.Keys(replaced), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, key := range keys {
		pairs = append(pairs, key, replaced[key])
	}
	return strings.NewReplacer(pairs...)
}

// Start runs the init containers to their end, one after the other, and starts the others.
func (p *LocalPod) Start(ctx context.Context) error {
	for _, process := range p.init {
		if err := process.runToEnd(ctx); err != nil {
			return err
		}
	}
	for _, process := range p.Processes {
		if err := process.Start(); err != nil {
			return err
		}
	}
	return nil
}

// runToEnd starts the process and waits until it has ended well.
func (p *Process) runToEnd(ctx context.Context) error {
	if err := p.Start(); err != nil {
		return err
	}
	select {
	case <-p.Exited():
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.Kill())
	case <-time.After(readyTimeout):
		return errors.Join(fmt.Errorf("%s did not end within %s; see %s", p.Name, readyTimeout, p.LogFile()), p.Kill())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	if p.err != nil {
		return fmt.Errorf("%s: %w; see %s", p.Name, p.err, p.LogFile())
	}
	return nil
}

// AwaitReady waits until all probes of all containers succeed.
func (p *LocalPod) AwaitReady(ctx context.Context) error {
	for i, container := range p.pod.Spec.Containers {
		for _, probe := range []*corev1.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
			if probe == nil {
				return fmt.Errorf("container %s of Pod %s has not all three probes", container.Name, p.pod.Name)
			}
			url, err := p.probeURL(&container, probe)
			if err != nil {
				return err
			}
			if err := p.Processes[i].AwaitOK(ctx, url); err != nil {
				return err
			}
		}
	}
	return nil
}

// probeURL returns where a probe looks, on this machine.
func (p *LocalPod) probeURL(container *corev1.Container, probe *corev1.Probe) (string, error) {
	get := probe.HTTPGet
	for _, port := range container.Ports {
		if port.Name == get.Port.String() || port.ContainerPort == get.Port.IntVal {
			scheme := strings.ToLower(string(cmp.Or(get.Scheme, corev1.URISchemeHTTP)))
			return fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, p.machine.Ports[port.ContainerPort], get.Path), nil
		}
	}
	return "", fmt.Errorf("a probe of container %s of Pod %s is for the port %s, which is not declared", container.Name, p.pod.Name, get.Port.String())
}

// probeHTTP asks as the kubelet does, which verifies no certificate.
func probeHTTP(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	response, err := (&http.Client{Transport: transport, Timeout: 15 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
