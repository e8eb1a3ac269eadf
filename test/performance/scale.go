// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/framework"
)

// size describes a server with a number of Jobs.
type size struct {
	Server string
	Jobs   int
	// Ready is the time from the start to readiness, List the time to list all Jobs as JSON, and
	// Watch the time until a new watch has sent all Jobs. All are in seconds.
	Ready, List, Watch float64
	// Resident is the memory after readiness in MiB.
	Resident float64
}

// kubectlGet describes a kubectl get jobs.
type kubectlGet struct {
	Arm     string
	Jobs    int
	Seconds float64
}

// takeover describes a takeover by the plugin.
type takeover struct {
	Jobs              int
	Seconds, Resident float64 // of the plugin; memory in MiB
}

// maxKubectlJobs is the highest number of Jobs that kubectl lists. It needs a request for each 500.
const maxKubectlJobs = 10_000

// scale measures starts, lists, watches, kubectl and memory by the number of Jobs. It restarts both
// servers for each measurement. It deletes the Jobs of the other parts.
func (b *bench) scale(ctx context.Context, r *results) error {
	template, err := b.native.Client.BatchV1().Jobs(namespace).Get(ctx, jobName(0), metav1.GetOptions{})
	if err != nil {
		return err
	}
	// 100,000 Jobs need more than the manifests' limit.
	if err := b.setMemoryLimit("off"); err != nil {
		return err
	}
	planes := []*plane{b.native, b.gated}
	for _, p := range planes {
		if _, err := p.etcd.Delete(ctx, jobsKey, clientv3.WithPrefix()); err != nil {
			return err
		}
	}
	at := 0
	for _, n := range b.plan.scale {
		progress("storing %s", count(n, "Job", "Jobs"))
		for _, p := range planes {
			if err := p.store(ctx, template, at, n); err != nil {
				return err
			}
		}
		at = n
		for round := range b.scaleRounds {
			progress("%s, round %d of %d", count(n, "Job", "Jobs"), round+1, b.scaleRounds)
			for _, server := range []struct {
				name    string
				process *framework.Process
				config  *rest.Config
			}{
				{native, b.native.APIServer, b.native.Config},
				{direct, b.gated.Batchgate, b.gated.DirectConfig()},
			} {
				s := size{Server: server.name, Jobs: n}
				if err := s.measure(ctx, server.process, server.config); err != nil {
					return err
				}
				r.Sizes = append(r.Sizes, s)
			}
			if n == 0 || n > maxKubectlJobs {
				continue
			}
			// Batchgate was restarted, so kube-apiserver may not have noticed yet that it is available.
			if err := b.gated.TakeOver(ctx); err != nil {
				return err
			}
			for _, a := range []struct {
				name  string
				plane *plane
			}{{native, b.native}, {aggregated, b.gated}} {
				seconds, err := a.plane.kubectlGetJobs(ctx, n)
				if err != nil {
					return err
				}
				r.KubectlGets = append(r.KubectlGets, kubectlGet{Arm: a.name, Jobs: n, Seconds: seconds})
			}
		}
	}
	return b.takeOver(ctx, r, at)
}

// measure restarts the server and measures it.
func (s *size) measure(ctx context.Context, process *framework.Process, config *rest.Config) error {
	if err := process.Stop(); err != nil {
		return err
	}
	pause(ctx, 2*time.Second)
	began := time.Now()
	if err := process.Start(); err != nil {
		return err
	}
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		// A client does not retry a failed connection.
		probe, err := newClient(config)
		if err != nil {
			return false, err
		}
		defer probe.http.CloseIdleConnections()
		return probe.send(ctx, request{method: http.MethodGet, path: "/readyz", code: http.StatusOK}) == nil, nil
	})
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.Server, err)
	}
	s.Ready = time.Since(began).Seconds()
	pause(ctx, 3*time.Second)
	s.Resident = resident(process.PID())
	probe, err := newClient(config)
	if err != nil {
		return err
	}
	defer probe.http.CloseIdleConnections()
	const jobs = "/apis/batch/v1/namespaces/" + namespace + "/jobs"
	began = time.Now()
	if err := probe.send(ctx, request{method: http.MethodGet, path: jobs + "?resourceVersion=0", code: http.StatusOK}); err != nil {
		return err
	}
	s.List = time.Since(began).Seconds()
	s.Watch, err = watchUntil(ctx, probe, jobs, s.Jobs)
	return err
}

// kubectlGetJobs returns the seconds that kubectl get jobs takes. It fails if the output does not have
// all n Jobs.
func (p *plane) kubectlGetJobs(ctx context.Context, n int) (float64, error) {
	began := time.Now()
	output, _, err := p.Kubectl().Run(ctx, "get", "jobs", "--namespace="+namespace, "--no-headers")
	took := time.Since(began).Seconds()
	if got := strings.Count(output, "\n"); err == nil && got != n {
		return 0, fmt.Errorf("kubectl printed %d Jobs, want %d", got, n)
	}
	return took, err
}

// takeOver rolls back, and takes over with the plugin.
func (b *bench) takeOver(ctx context.Context, r *results, jobs int) error {
	progress("taking over with %s", count(jobs, "Job", "Jobs"))
	if err := b.gated.RollBack(ctx); err != nil {
		return err
	}
	plugin := filepath.Join(b.dir, "kubectl-batchgate")
	if output, err := exec.CommandContext(ctx, "hack/build.sh", plugin, "./cmd/kubectl-batchgate").CombinedOutput(); err != nil {
		return fmt.Errorf("building the plugin: %w: %s", err, output)
	}
	server, err := url.Parse(b.gated.DirectConfig().Host)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, plugin, "takeover", "--batchgate-server="+server.Host, "--service-port="+server.Port())
	command.Env = append(os.Environ(), "KUBECONFIG="+b.gated.Kubeconfig)
	began := time.Now()
	output, err := command.CombinedOutput()
	took := time.Since(began).Seconds()
	if err != nil {
		return fmt.Errorf("taking over: %w: %s", err, output)
	}
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	r.Takeovers = append(r.Takeovers, takeover{Jobs: jobs, Seconds: took, Resident: float64(usage.Maxrss) / 1024})
	return nil
}

// watchUntil returns the seconds until a watch has sent all Jobs.
func watchUntil(ctx context.Context, c *client, path string, jobs int) (float64, error) {
	began := time.Now()
	events, err := c.watch(ctx, path+"?watch=true&resourceVersion=0")
	if err != nil {
		return 0, err
	}
	defer events.Close()
	buffer := make([]byte, 64<<10)
	for seen := 0; seen < jobs; {
		n, err := events.Read(buffer)
		for _, c := range buffer[:n] {
			if c == '\n' {
				seen++
			}
		}
		if err == io.EOF {
			return 0, fmt.Errorf("the watch ended after %d of %d events", seen, jobs)
		}
		if err != nil {
			return 0, err
		}
	}
	return time.Since(began).Seconds(), nil
}
