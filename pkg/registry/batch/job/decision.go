package job

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

// The verdicts, as metrics and audit events name them.
const (
	verdictAllowed = "allow"
	verdictWarned  = "warn"
	verdictRefused = "deny"
)

// The keys of audit annotations.
const (
	auditVerdict      = "policy.batchgate.io/decision"
	auditRefusedPaths = "policy.batchgate.io/denied-paths"
	auditWarnedPaths  = "policy.batchgate.io/warned-paths"
	auditGrantedBy    = "policy.batchgate.io/granted-by"
)

// maxWarnings bounds the Warning headers of an answer.
const maxWarnings = 10

// decision is what the gate has decided about an update.
type decision struct {
	job  *batch.Job // that it is about, which ValidateUpdate gets too
	user string
	// verdict is nil where a look at the fields that are granted as a whole was enough, and
	// where there is an error.
	verdict *fieldpolicy.Verdict
	// granting are the policies by which that look allowed the update, if it is audited.
	granting []string
	err      error
}

// refusal returns an error for each change that is not allowed, none if all are. updatable
// selects, of the fields that are granted, those that this endpoint updates.
func (d *decision) refusal(updatable func(granted []string) []string) field.ErrorList {
	switch {
	case d.err != nil:
		return field.ErrorList{field.InternalError(nil, d.err)}
	case d.verdict == nil || len(d.verdict.Refused()) == 0:
		return nil
	}
	return forbidden(d.verdict.Refused(), updatable(d.verdict.Granted), d.user)
}

// name returns the verdict's name.
func (d *decision) name() string {
	switch {
	case d.err != nil:
		return verdictRefused
	case d.verdict == nil:
		return verdictAllowed
	case len(d.verdict.Refused()) > 0:
		return verdictRefused
	case len(d.verdict.Warned()) > 0:
		return verdictWarned
	}
	return verdictAllowed
}

// Report is the decision about the update of one request. An update that loses to another
// one is tried again, with a decision of its own: the last one counts.
type Report struct {
	subresource string
	decision    *decision
}

type reportKey struct{}

// WithReport returns a context for an update through a subresource, empty for the Job
// itself, and the report of what the gate decides in it.
func WithReport(ctx context.Context, subresource string) (context.Context, *Report) {
	r := &Report{subresource: subresource}
	return context.WithValue(ctx, reportKey{}, r), r
}

// reportFrom returns the report of the context, nil if there is none.
func reportFrom(ctx context.Context) *Report {
	r, _ := ctx.Value(reportKey{}).(*Report)
	return r
}

// Publish makes the decision visible, if there was one: in metrics, audit annotations and
// warnings. err is how the update has ended. One that has lost to another, and is sent again
// by whoever sent it, is reported then.
func (r *Report) Publish(ctx context.Context, err error) {
	d := r.decision
	if d == nil || apierrors.IsConflict(err) {
		return
	}
	verdict := d.name()
	countDecision(verdict, r.subresource)
	switch {
	case d.verdict == nil:
	case verdict == verdictRefused:
		for _, path := range d.verdict.Refused() {
			countChange(verdict, "", path)
		}
	case verdict == verdictWarned:
		for _, c := range d.verdict.Changes {
			for _, policy := range c.Policies {
				if c.Warn {
					countChange(verdict, policy, c.Path)
				}
			}
		}
		warnGranted(ctx, d.verdict)
	}
	// They name all policies that grant the update, which may be many.
	if isAudited(ctx) {
		audit.AddAuditAnnotations(ctx, d.annotations()...)
	}
}

// annotations returns the keys and values of the audit annotations, in turn.
func (d *decision) annotations() []string {
	verdict := d.name()
	annotations := []string{auditVerdict, verdict}
	switch {
	case d.verdict == nil:
	case verdict == verdictRefused:
		annotations = append(annotations, auditRefusedPaths, joinPaths(d.verdict.Refused()))
	case verdict == verdictWarned:
		annotations = append(annotations, auditWarnedPaths, joinPaths(d.verdict.Warned()))
	}
	if granting := d.grantedBy(); len(granting) > 0 {
		annotations = append(annotations, auditGrantedBy, strings.Join(granting, ","))
	}
	return annotations
}

// grantedBy returns the policies that grant changes of the update, sorted.
func (d *decision) grantedBy() []string {
	if d.verdict == nil {
		return d.granting
	}
	var names []string
	for _, c := range d.verdict.Changes {
		names = append(names, c.Policies...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// warnGranted tells the client of changes that are granted with a warning.
func warnGranted(ctx context.Context, v *fieldpolicy.Verdict) {
	warned := 0
	for _, c := range v.Changes {
		if !c.Warn {
			continue
		}
		if warned++; warned <= maxWarnings {
			warning.AddWarning(ctx, "", fmt.Sprintf("%s: changed with a warning, by JobUpdatePolicy %s: no policy allows it otherwise", c.Path, strings.Join(c.Policies, ", ")))
		}
	}
	if more := warned - maxWarnings; more > 0 {
		warning.AddWarning(ctx, "", fmt.Sprintf("%d more fields are changed with a warning", more))
	}
}

func joinPaths(paths []fieldpolicy.Path) string {
	var b strings.Builder
	for i, path := range paths {
		if i == maxRefusedPaths {
			fmt.Fprintf(&b, "; %d more", len(paths)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(string(path))
	}
	return b.String()
}

// isAudited reports whether the request makes audit events.
func isAudited(ctx context.Context) bool {
	ac := audit.AuditContextFrom(ctx)
	if ac == nil {
		return false
	}
	level := ac.GetEventLevel()
	return level != "" && level != auditinternal.LevelNone
}
