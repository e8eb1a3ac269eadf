// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/apis/batch"

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
	// maxLabels is the maximum length in bytes of a Job's labels in an audit annotation.
	maxLabels = 4 << 10
)

// Publish reports the decision about an update that has ended with err in metrics, audit
// annotations, warnings and, unless it was a dry run, Events. It reports nothing for a conflict,
// since the client sends the update again, and for an update that failed before it was evaluated.
func (s *Strategy) Publish(ctx context.Context, options *metav1.UpdateOptions, err error) {
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
		if s.err == nil && s.gate.Events != nil && len(options.DryRun) == 0 {
			s.recordDenied(userFrom(ctx).Name)
		}
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
		audit.AddAuditAnnotations(ctx, auditAnnotations(d, s.jobLabels())...)
	}
}

// auditAnnotations returns alternating keys and values. jobLabels are the labels of the stored Job.
func auditAnnotations(d *fieldpolicy.Decision, jobLabels map[string]string) []string {
	annotations := []string{policyapi.AuditDecision, string(d.Outcome)}
	switch d.Outcome {
	case fieldpolicy.Deny:
		switch denied := d.DeniedPaths(); {
		case d.TooManyChanges:
			annotations = append(annotations, policyapi.AuditDeniedPaths, fmt.Sprintf("%d more", fieldpolicy.MaxChanges))
		case len(denied) > 0:
			annotations = append(annotations, policyapi.AuditDeniedPaths, joinPaths(denied))
		}
	case fieldpolicy.Warn:
		annotations = append(annotations, policyapi.AuditWarnedPaths, joinPaths(d.WarnedPaths()))
	}
	if d.Outcome != fieldpolicy.Allow {
		if text := labelsText(jobLabels); text != "" {
			annotations = append(annotations, policyapi.AuditJobLabels, text)
		}
	}
	if granting := d.GrantingPolicies(); len(granting) > 0 {
		annotations = append(annotations, policyapi.AuditGrantedBy, joinPolicies(granting, ","))
	}
	return annotations
}

// jobLabels returns the labels of the stored Job.
func (s *Strategy) jobLabels() map[string]string {
	if s.stored == nil {
		return nil
	}
	return s.stored.Labels
}

// generatedLabels differ for each Job. A Job without labels gets them from its Pod template.
var generatedLabels = []string{batch.ControllerUidLabel, batch.JobNameLabel, batch.LegacyControllerUidLabel, batch.LegacyJobNameLabel}

// labelsText returns labels as a JSON object without the generated ones, or "" if it is too long.
func labelsText(labels map[string]string) string {
	kept := map[string]string{}
	length := 0
	for key, value := range labels {
		if !slices.Contains(generatedLabels, key) {
			kept[key] = value
			length += len(key) + len(value)
		}
	}
	if length > maxLabels {
		return ""
	}
	text, err := json.Marshal(kept)
	if err != nil || len(text) > maxLabels {
		return ""
	}
	return string(text)
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

// joinPaths joins the first maxDeniedPaths paths and counts the others. It also only counts paths that are
// longer than bounded.MaxText, because a path that is cut could be read as another one.
func joinPaths(paths []fieldpath.Path) string {
	var listed []string
	for _, path := range paths[:min(len(paths), maxDeniedPaths)] {
		if text := path.String(); len(text) <= bounded.MaxText {
			listed = append(listed, text)
		}
	}
	if more := len(paths) - len(listed); more > 0 {
		listed = append(listed, fmt.Sprintf("%d more", more))
	}
	return strings.Join(listed, "; ")
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
