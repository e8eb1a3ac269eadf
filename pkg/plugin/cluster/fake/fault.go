// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// Mode is the kind of a fault.
type Mode string

const (
	// Fail returns an error, and the request has no effect.
	Fail Mode = "fail"
	// LoseResponse returns an error although the request has taken effect.
	LoseResponse Mode = "lose response"
	// KillBefore and KillAfter end the plugin before or after the request takes effect.
	KillBefore Mode = "kill before"
	KillAfter  Mode = "kill after"
)

// Modes lists all modes.
var Modes = []Mode{Fail, LoseResponse, KillBefore, KillAfter}

// Kills reports whether the fault ends the plugin.
func (m Mode) Kills() bool { return m == KillBefore || m == KillAfter }

// killed is the panic that ends an operation without its cleanup.
type killed struct{}

// ErrKilled is returned for an operation that was killed.
var ErrKilled = errors.New("killed")

// RunWithFault runs an operation and injects a fault into request n, counted from 1. It returns a
// description of that request, which is empty if the operation sent fewer requests. Only the mode Fail
// counts reads. For the other modes they add nothing: a kill at a read leaves the same state as a kill
// after the change before it, and a read whose response is lost is a failed read.
func (c *Cluster) RunWithFault(n int, mode Mode, operation func() error) (request string, err error) {
	counted := 0
	return c.runWithFault(mode, operation, func(description string) bool {
		if mode == Fail || Changes(description) {
			counted++
			return counted == n
		}
		return false
	})
}

var change = regexp.MustCompile(` (create|update|patch|fence|delete|put|commit)( |$)`)

// Changes reports whether a request with that description changes something if it succeeds.
func Changes(description string) bool {
	return change.MatchString(description) && !strings.Contains(description, "reviews")
}

// RunWithFaultAt runs an operation and injects a fault into its first request with that
// description. The number of that request may differ from run to run, since an operation that polls
// sends more or fewer requests depending on the time.
func (c *Cluster) RunWithFaultAt(description string, mode Mode, operation func() error) error {
	request, err := c.runWithFault(mode, operation, func(d string) bool { return d == description })
	if request == "" {
		return fmt.Errorf("no request is %q: %w", description, err)
	}
	return err
}

// hideKills omits the stack traces of kills. Other panics end the test process anyway.
var hideKills = sync.OnceFunc(func() { utilruntime.PanicHandlers = []func(context.Context, any){} })

func (c *Cluster) runWithFault(mode Mode, operation func() error, faulty func(description string) bool) (request string, err error) {
	dead := false
	hit := func(description string) bool {
		if request == "" && faulty(description) {
			request = description
			return true
		}
		return false
	}
	c.Before = func(description string) error {
		if dead {
			return ErrKilled // deferred calls of a killed operation have no effect
		}
		switch {
		case mode == Fail && hit(description):
			return apierrors.NewInternalError(errors.New("injected"))
		case mode == KillBefore && hit(description):
			dead = true
			panic(killed{})
		}
		return nil
	}
	c.After = func(description string) error {
		switch {
		case dead:
		case mode == LoseResponse && hit(description):
			return errors.New("connection reset by peer")
		case mode == KillAfter && hit(description):
			dead = true
			panic(killed{})
		}
		return nil
	}
	hideKills()
	defer func() {
		c.Before, c.After = nil, nil
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			err = ErrKilled
		}
	}()
	err = operation()
	return request, err
}
