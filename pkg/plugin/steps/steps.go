// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrNothingChanged marks the error of an operation that stopped before its first change.
	ErrNothingChanged = errors.New("nothing was changed")
	// ErrRolledBack marks the error of an operation that failed and undid all of its changes.
	ErrRolledBack = errors.New("all changes were undone")
)

// Result is the outcome of one step.
type Result struct {
	Name string `json:"name"`
	// Detail is what the step found or did.
	Detail string `json:"detail,omitempty"`
	// Error says what is wrong and what to do about it. It is empty if the step succeeded.
	Error string `json:"error,omitempty"`
	// Undo is the command that undoes the step. It is empty for checks.
	Undo string `json:"undo,omitempty"`
}

// Reporter receives each result as soon as the step has ended.
type Reporter func(Result)

// Step is a check or an action.
type Step struct {
	Name string
	// Run returns what the step found or did.
	Run func(context.Context) (detail string, err error)
	// Undo is the command that undoes the step. It is reported only if the step succeeded.
	Undo string
}

// afterAction, if set, is called after each successful step of Run. It is set only in binaries
// that are built with the tag in kill.go.
var afterAction func(name string)

func (s Step) do(ctx context.Context, report Reporter) error {
	detail, err := s.Run(ctx)
	if err != nil {
		report(Result{Name: s.Name, Error: err.Error()})
		return err
	}
	report(Result{Name: s.Name, Detail: detail, Undo: s.Undo})
	return nil
}

// Check runs all steps, including those after a failed one, and fails if any of them failed.
func Check(ctx context.Context, checks []Step, report Reporter) error {
	failed := 0
	for _, s := range checks {
		if s.do(ctx, report) != nil {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(checks))
	}
	return nil
}

// Run runs the steps in order and stops at the first error, which it wraps with the step's name.
func Run(ctx context.Context, list []Step, report Reporter) error {
	for _, s := range list {
		if err := s.do(ctx, report); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		if afterAction != nil {
			afterAction(s.Name)
		}
	}
	return nil
}
