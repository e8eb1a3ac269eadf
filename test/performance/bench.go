// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/batchgate/batchgate/test/framework"
)

var allParts = []string{"requests", "policies", "scale", "completion", "gate"}

// parts are the names of the parts to measure. Empty means all.
type parts []string

// String implements flag.Value.
func (p *parts) String() string { return strings.Join(*p, ",") }

// Set implements flag.Value.
func (p *parts) Set(value string) error {
	*p = strings.Split(value, ",")
	for _, name := range *p {
		if !slices.Contains(allParts, name) {
			return fmt.Errorf("there is no part %q, only %s", name, strings.Join(allParts, ", "))
		}
	}
	return nil
}

func (p parts) has(name string) bool { return len(p) == 0 || slices.Contains(p, name) }

// bench has the control planes that all parts but completion share.
type bench struct {
	plan
	dir      string
	binaries framework.Binaries
	// base is another binary of Batchgate, or empty.
	base string

	native, alternatives, gated, basePlane *plane
	webhook                                *webhook
	arms                                   []*arm
	// sent counts requests. It makes the names of created Jobs and the values of patches unique.
	sent atomic.Int64
}

// start starts the control planes side by side. With a base, only Batchgate's two binaries are compared.
func (b *bench) start(ctx context.Context) (err error) {
	progress("starting the control planes")
	b.sent.Store(1) // the Jobs have a parallelism of 1 already
	if b.gated, err = b.startPlane(ctx, "gated", b.binaries, true, namespace); err != nil {
		return err
	}
	b.arms = []*arm{
		{name: aggregated, plane: b.gated, namespace: namespace, gated: true},
		{name: direct, plane: b.gated, namespace: namespace, gated: true, direct: true},
	}
	if b.base != "" {
		binaries := b.binaries
		binaries.Batchgate = b.base
		if b.basePlane, err = b.startPlane(ctx, "base", binaries, true, namespace); err != nil {
			return err
		}
		b.arms = append([]*arm{
			{name: aggregatedBase, plane: b.basePlane, namespace: namespace, gated: true},
			{name: directBase, plane: b.basePlane, namespace: namespace, gated: true, direct: true},
		}, b.arms...)
	} else if err := b.startNative(ctx); err != nil {
		return err
	}
	for _, a := range b.arms {
		if err := a.awaitGate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startNative starts a plane for kube-apiserver alone, and one for the alternatives to Batchgate. If one
// kube-apiserver served three arms, chance would decide in whose slices it collects their garbage, which
// takes it half a second.
func (b *bench) startNative(ctx context.Context) (err error) {
	if b.native, err = b.startPlane(ctx, "native", b.binaries, false, namespace); err != nil {
		return err
	}
	if b.alternatives, err = b.startPlane(ctx, "alternatives", b.binaries, false, policyNamespace, webhookNamespace); err != nil {
		return err
	}
	if err := b.alternatives.createAdmissionPolicy(ctx, 1); err != nil {
		return err
	}
	if b.webhook, err = startWebhook(b.dir); err != nil {
		return err
	}
	b.alternatives.webhookPID = b.webhook.process.Process.Pid
	b.arms = append([]*arm{
		{name: native, plane: b.native, namespace: namespace},
		{name: withAdmissionPolicy, plane: b.alternatives, namespace: policyNamespace, gated: true},
		{name: withWebhook, plane: b.alternatives, namespace: webhookNamespace, gated: true},
	}, b.arms...)
	return b.alternatives.createWebhook(ctx, b.webhook)
}

// memoryLimit is what the server sets as its memory limit in a container with the limit of the
// manifests, 1Gi.
const memoryLimit = "819MiB"

// limited returns a program that runs the binary with the memory limit that setMemoryLimit has set.
func (b *bench) limited(binary string) (string, error) {
	file := filepath.Join(b.dir, fmt.Sprintf("limited-%d", b.sent.Add(1)))
	script := fmt.Sprintf("#!/bin/sh\nGOMEMLIMIT=$(cat %s) exec %s \"$@\"\n", b.memoryLimitFile(), binary)
	return file, errors.Join(b.setMemoryLimit(memoryLimit), os.WriteFile(file, []byte(script), 0o700))
}

func (b *bench) memoryLimitFile() string { return filepath.Join(b.dir, "memory-limit") }

// setMemoryLimit sets the memory limit of servers that start from now on.
func (b *bench) setMemoryLimit(limit string) error {
	return os.WriteFile(b.memoryLimitFile(), []byte(limit), 0o600)
}

// startPlane starts a plane without controllers, with Jobs in some namespaces.
func (b *bench) startPlane(ctx context.Context, name string, binaries framework.Binaries, gated bool, namespaces ...string) (*plane, error) {
	var err error
	if binaries.Batchgate, err = b.limited(binaries.Batchgate); err != nil {
		return nil, err
	}
	p, err := startPlane(ctx, b.dir, name, binaries, gated, framework.ClusterOptions{})
	if err != nil {
		return p, err
	}
	if err := p.stopControllers(); err != nil {
		return p, err
	}
	if err := p.createRole(ctx); err != nil {
		return p, err
	}
	for _, namespace := range namespaces {
		if err := p.populate(ctx, namespace, b.jobs); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (b *bench) stop() error {
	var errs []error
	for _, p := range []*plane{b.native, b.alternatives, b.gated, b.basePlane} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	if b.webhook != nil {
		errs = append(errs, b.webhook.stop())
	}
	return errors.Join(errs...)
}

// requests takes each selected measurement with all arms that support it. It replaces earlier results of
// these measurements.
func (b *bench) requests(ctx context.Context, r *results) error {
	for _, m := range b.selected() {
		arms := b.arms
		if operationNamed(m.Operation).gatedOnly {
			arms = slices.DeleteFunc(slices.Clone(arms), func(a *arm) bool { return !a.gated })
		}
		if m.Watches > 0 {
			// One arm for each plane, because all watches of a plane get the updates.
			arms = slices.DeleteFunc(slices.Clone(arms), func(a *arm) bool { return a.direct || a.gated && !a.plane.gated })
		}
		progress("%s", m)
		result, err := b.measure(ctx, m, arms)
		if err != nil {
			return err
		}
		r.Requests = append(slices.DeleteFunc(r.Requests, func(m *measured) bool { return m.measurement == result.measurement }), result)
		fmt.Fprint(os.Stderr, result.table())
	}
	return nil
}

// selected returns the measurements that -run selects.
func (b *bench) selected() []measurement {
	var selected []measurement
	for _, m := range measurements {
		if b.only.MatchString(m.String()) {
			if m.Watches > 0 {
				m.Watches = min(m.Watches, b.watches)
			}
			selected = append(selected, m)
		}
	}
	return selected
}

// latest returns the current resource version of the Jobs in a namespace.
func (p *plane) latest(ctx context.Context, namespace string) (string, error) {
	client, err := kubernetes.NewForConfig(p.Config)
	if err != nil {
		return "", err
	}
	jobs, err := client.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return "", err
	}
	return jobs.ResourceVersion, nil
}

// profileBatchgate writes a CPU profile of Batchgate to a file. The load are the measurements that -run
// selects, for Batchgate's arms.
func (b *bench) profileBatchgate(ctx context.Context, file string) error {
	progress("profiling Batchgate")
	client, err := kubernetes.NewForConfig(b.gated.DirectConfig())
	if err != nil {
		return err
	}
	b.minRounds, b.maxRounds, b.goalRounds = b.profileRounds, b.profileRounds, b.profileRounds
	arms := slices.DeleteFunc(slices.Clone(b.arms), func(a *arm) bool { return a.plane != b.gated })
	slices := len(b.selected()) * len(arms) * (b.profileRounds + 1)
	seconds := int((b.duration+b.settle).Seconds()*float64(slices)) + 1
	done := make(chan error, 1)
	go func() {
		profile, err := client.Discovery().RESTClient().Verb(http.MethodGet).AbsPath("/debug/pprof/profile").Param("seconds", fmt.Sprint(seconds)).Timeout(0).Do(ctx).Raw()
		if err == nil {
			err = os.WriteFile(file, profile, 0o644)
		}
		done <- err
	}()
	for _, m := range b.selected() {
		if _, err := b.measure(ctx, m, arms); err != nil {
			return err
		}
	}
	return <-done
}
