// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// waitUntil polls the condition until it is true. It fails if the process exits, and after
// readyTimeout.
func (p *Process) waitUntil(ctx context.Context, state string, condition func(context.Context) bool) error {
	exited := p.Exited()
	err := wait.PollUntilContextTimeout(ctx, pollInterval, readyTimeout, true, func(ctx context.Context) (bool, error) {
		select {
		case <-exited:
			return false, errors.New("the process exited")
		default:
			return condition(ctx), nil
		}
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to be %s: %w; see %s", p.Name, state, err, p.LogFile())
	}
	return nil
}

// WaitForOK waits until the URL returns 200. Like the probes of a kubelet, it does not verify
// certificates.
func (p *Process) WaitForOK(ctx context.Context, url string) error {
	return p.waitUntil(ctx, "ok at "+url, func(ctx context.Context) bool { return probeHTTP(ctx, url) == nil })
}

// runToCompletion starts the process and waits until it exits with code 0.
func (p *Process) runToCompletion(ctx context.Context) error {
	if err := p.Start(); err != nil {
		return err
	}
	select {
	case <-p.Exited():
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.Kill())
	case <-time.After(readyTimeout):
		return errors.Join(fmt.Errorf("%s did not exit within %s; see %s", p.Name, readyTimeout, p.LogFile()), p.Kill())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	if p.err != nil {
		return fmt.Errorf("%s: %w; see %s", p.Name, p.err, p.LogFile())
	}
	return nil
}
