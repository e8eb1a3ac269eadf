// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// canUpdate is the command can-update.
type canUpdate struct {
	*settings
	fields []string
	labels string
}

func newCanUpdateCommand(s *settings) *cobra.Command {
	u := &canUpdate{settings: s}
	cmd := &cobra.Command{
		Use:   "can-update [NAME | job/NAME]",
		Short: "Show which fields of a Job you may change",
		Long: `Shows which fields of a Job JobUpdatePolicies let you change, and which policies.
With --labels it shows the fields of a Job that does not exist yet. Without NAME and
--labels, it assumes a Job without labels.

With --field it says for each field whether an update that changes it would be
allowed. For a Job that exists, this includes the rules of Kubernetes: for example,
the Pod template of a running Job is immutable. The command also checks that RBAC
lets you update the Job. An update can still be rejected for its values, or by an
admission plugin.

Every authenticated user may ask. You must be allowed to get the Job. To ask for
another user, set --as and --as-group, which needs the permission to impersonate.

Exit codes:
  0  you may change all of the fields, or --field is not set
  1  you may not change one of them
  2  the question could not be answered`,
		Example: `  # All fields of the Job pi that policies grant you
  kubectl batchgate can-update pi

  # Whether you may suspend it
  kubectl batchgate can-update job/pi --field=spec.suspend

  # Whether Flux may suspend Jobs with a label
  kubectl batchgate can-update --labels=app=render --field=spec.suspend \
    --as=system:serviceaccount:flux-system:kustomize-controller`,
		Args: func(cmd *cobra.Command, args []string) error { return unanswered(cobra.MaximumNArgs(2)(cmd, args)) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return u.jobNames(cmd.Context(), args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return u.run(cmd.Context(), args) },
	}
	cmd.Flags().StringArrayVar(&u.fields, "field", nil, "Path pattern of a field to check, such as spec.suspend. Repeat the flag for more fields.")
	cmd.Flags().StringVar(&u.labels, "labels", "", "Labels of a Job that does not exist yet, such as app=render,env=test.")
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return fieldpath.AllPatterns(), cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc("field", complete); err != nil {
		panic(err) // the flag exists
	}
	return cmd
}

// unansweredError makes the plugin exit with the code of a question that could not be answered.
type unansweredError struct{ error }

func unanswered(err error) error {
	if err == nil {
		return nil
	}
	return unansweredError{err}
}

func (u *canUpdate) run(ctx context.Context, args []string) error {
	review, err := u.review(args)
	if err != nil {
		return unanswered(err)
	}
	c, err := u.cluster()
	if err != nil {
		return unanswered(err)
	}
	answer, err := c.Policies.PolicyV1alpha1().SelfJobUpdateReviews(review.Namespace).Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		switch {
		case isForbiddenReview(err):
			err = fmt.Errorf("you may not ask: an admin can bind you to the ClusterRole batchgate-self-review: %w", err)
		case isUnknownResource(err):
			err = fmt.Errorf("the server cannot review updates of Jobs: install a release of Batchgate that has SelfJobUpdateReviews, and its APIService v1alpha1.policy.batchgate.io: %w", err)
		}
		return unanswered(err)
	}
	answer.APIVersion, answer.Kind = v1alpha1.GroupVersion.String(), "SelfJobUpdateReview"
	if u.output == "" {
		err = printReview(u.streams.Out, &answer.Status)
	} else {
		err = u.print(answer)
	}
	if err != nil {
		return unanswered(err)
	}
	authorized, err := u.authorized(ctx, c, review)
	if err != nil {
		return unanswered(err)
	}
	if !authorized {
		problem := fmt.Sprintf("RBAC does not let you update this Job in the namespace %s, whatever policies grant", review.Namespace)
		if len(u.fields) > 0 {
			return errors.New(problem)
		}
		u.progress("warning: " + problem)
	}
	return denied(&answer.Status)
}

// authorized reports whether the user may patch or update the Job, which the review does not tell.
func (u *canUpdate) authorized(ctx context.Context, c *cluster.Cluster, review *v1alpha1.SelfJobUpdateReview) (bool, error) {
	for _, verb := range []string{"patch", "update"} {
		access := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: review.Namespace, Verb: verb, Group: "batch", Resource: "jobs", Name: review.Spec.Job.Name,
		}}}
		answer, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, access, metav1.CreateOptions{})
		if err != nil {
			return false, fmt.Errorf("asking whether RBAC lets you update the Job: %w", err)
		}
		if answer.Status.Allowed {
			return true, nil
		}
	}
	return false, nil
}

// review returns the review to create.
func (u *canUpdate) review(args []string) (*v1alpha1.SelfJobUpdateReview, error) {
	namespace, _, err := u.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	review := &v1alpha1.SelfJobUpdateReview{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Spec: v1alpha1.SelfJobUpdateReviewSpec{Fields: u.fields}}
	if len(args) > 0 { // "pi", "job/pi" or "job pi"
		if review.Spec.Job.Name, err = jobName(strings.Join(args, "/")); err != nil {
			return nil, err
		}
		if review.Spec.Job.Name == "" { // such as an unset variable in a script
			return nil, errors.New("the name of the Job is empty; leave it out to ask about a Job without labels, or set --labels")
		}
	}
	if u.labels != "" {
		if review.Spec.Job.Labels, err = labels.ConvertSelectorToLabelsMap(u.labels); err != nil {
			return nil, fmt.Errorf("--labels=%s: %w", u.labels, err)
		}
	}
	return review, nil
}

// jobName returns the name in NAME or TYPE/NAME, if the type is jobs.
func jobName(arg string) (string, error) {
	kind, name, found := strings.Cut(arg, "/")
	if !found {
		return arg, nil
	}
	switch strings.ToLower(kind) {
	case "job", "jobs", "job.batch", "jobs.batch", "job.v1.batch", "jobs.v1.batch":
		return name, nil
	}
	return "", fmt.Errorf("%s: must be the name of a Job, such as pi or job/pi", arg)
}

// isUnknownResource reports whether the server does not know the resource. An error about a missing
// Job or namespace has no such cause.
func isUnknownResource(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// isForbiddenReview reports whether RBAC forbids reviews, and not reading the Job.
func isForbiddenReview(err error) bool {
	var status apierrors.APIStatus
	return apierrors.IsForbidden(err) && errors.As(err, &status) &&
		status.Status().Details != nil && status.Status().Details.Kind == "selfjobupdatereviews"
}

// denied returns an error that names the fields that may not be changed, or nil.
func denied(status *v1alpha1.JobUpdateReviewStatus) error {
	var fields []string
	for _, f := range status.Fields {
		if f.Decision == v1alpha1.ReviewDeny {
			fields = append(fields, f.Field)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return fmt.Errorf("an update may not change %s", strings.Join(fields, ", "))
}

func printReview(out io.Writer, status *v1alpha1.JobUpdateReviewStatus) error {
	if len(status.Fields) > 0 {
		rows := [][]string{{"FIELD", "DECISION", "POLICIES", "REASON"}}
		for _, f := range status.Fields {
			rows = append(rows, []string{f.Field, string(f.Decision), strings.Join(f.Policies, ","), f.Reason})
		}
		return printTable(out, rows)
	}
	if len(status.UpdatableFields) == 0 {
		_, err := fmt.Fprintln(out, "No policy grants you a change of this Job.")
		return err
	}
	rows := [][]string{{"FIELD", "ACTION", "POLICIES"}}
	for _, f := range status.UpdatableFields {
		rows = append(rows, []string{f.Field, string(f.Action), strings.Join(f.Policies, ",")})
	}
	if err := printTable(out, rows); err != nil {
		return err
	}
	if status.MoreUpdatableFields > 0 {
		fmt.Fprintf(out, "%d more are not listed; check single fields with --field\n", status.MoreUpdatableFields)
	}
	return nil
}

// printTable prints aligned columns, without spaces at the end of a line.
func printTable(out io.Writer, rows [][]string) error {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// jobNames returns the names of the Jobs in the namespace, for completion.
func (u *canUpdate) jobNames(ctx context.Context, args []string) []string {
	if len(args) > 0 {
		return nil
	}
	namespace, _, err := u.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil
	}
	c, err := u.cluster()
	if err != nil {
		return nil
	}
	jobs, err := c.Kube.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{Limit: 500})
	if err != nil {
		return nil
	}
	var names []string
	for _, job := range jobs.Items {
		names = append(names, job.Name)
	}
	return names
}
