// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/warning"

	policyapi "github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
)

const (
	// maxWarnings is the maximum number of warnings about one changed field each. One more warning
	// counts the other fields.
	maxWarnings = 10
	// maxPolicies is the maximum number of policies in a warning or an audit annotation.
	maxPolicies = 50
)

// Publish reports the decision about an update that has ended with err in metrics, audit
// annotations and warnings. It reports nothing for a conflict, since the client sends the
// update again, and for an update that failed before it was evaluated.
func (s *Strategy) Publish(ctx context.Context, err error) {
	if errors.Is(s.err, errNotEvaluated) || apierrors.IsConflict(err) {
		return
	}
	d := s.decision
	if s.err != nil {
		d = &fieldpolicy.Decision{Outcome: fieldpolicy.Deny}
	}
	countDecision(d.Outcome, s.subresource)
	switch d.Outcome {
	case fieldpolicy.Deny:
		denied := d.DeniedPaths()
		for _, path := range denied {
			countChange(d.Outcome, "", path)
		}
		warnRecreation(ctx, denied)
	case fieldpolicy.Warn:
		for _, c := range d.Changes {
			for _, policy := range c.Policies {
				if c.Warn {
					countChange(d.Outcome, policy, c.Path)
				}
			}
		}
		warnChanges(ctx, d)
	}
	// The annotations name all granting policies, which may be many.
	if isAudited(ctx) {
		audit.AddAuditAnnotations(ctx, auditAnnotations(d)...)
	}
}

// auditAnnotations returns alternating keys and values.
func auditAnnotations(d *fieldpolicy.Decision) []string {
	annotations := []string{policyapi.AuditDecision, string(d.Outcome)}
	switch d.Outcome {
	case fieldpolicy.Deny:
		if denied := d.DeniedPaths(); len(denied) > 0 {
			annotations = append(annotations, policyapi.AuditDeniedPaths, joinPaths(denied))
		}
	case fieldpolicy.Warn:
		annotations = append(annotations, policyapi.AuditWarnedPaths, joinPaths(d.WarnedPaths()))
	}
	if granting := d.GrantingPolicies(); len(granting) > 0 {
		annotations = append(annotations, policyapi.AuditGrantedBy, joinPolicies(granting, ","))
	}
	return annotations
}

// warnChanges warns the client about each change that only policies with the action Warn
// grant.
func warnChanges(ctx context.Context, d *fieldpolicy.Decision) {
	warned := 0
	for _, c := range d.Changes {
		if !c.Warn {
			continue
		}
		if warned++; warned <= maxWarnings {
			warning.AddWarning(ctx, "", fmt.Sprintf("%s: changed; only granted with the action Warn, by JobUpdatePolicy %s", bounded.Text(c.Path.String()), joinPolicies(c.Policies, ", ")))
		}
	}
	if more := warned - maxWarnings; more > 0 {
		warning.AddWarning(ctx, "", fmt.Sprintf("%d more changed fields are only granted with the action Warn", more))
	}
}

func joinPaths(paths []fieldpath.Path) string {
	var b strings.Builder
	for i, path := range paths {
		if i == maxDeniedPaths {
			fmt.Fprintf(&b, "; %d more", len(paths)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(bounded.Text(path.String()))
	}
	return b.String()
}

// joinPolicies joins the first maxPolicies names and counts the others.
func joinPolicies(names []string, separator string) string {
	more := max(0, len(names)-maxPolicies)
	joined := strings.Join(names[:len(names)-more], separator)
	if more > 0 {
		joined += fmt.Sprintf("%s%d more", separator, more)
	}
	return joined
}

// isAudited reports whether the request creates audit events.
func isAudited(ctx context.Context) bool {
	ac := audit.AuditContextFrom(ctx)
	if ac == nil {
		return false
	}
	level := ac.GetEventLevel()
	return level != "" && level != auditinternal.LevelNone
}
