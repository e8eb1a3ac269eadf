// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/plugin/suggest"
)

// suggestPolicies is the command policy suggest.
type suggestPolicies struct {
	*settings
	files      []string
	metrics    string
	generalize bool
}

func newSuggestCommand(s *settings) *cobra.Command {
	p := &suggestPolicies{settings: s}
	cmd := &cobra.Command{
		Use:   "suggest",
		Short: "Suggest JobUpdatePolicies from an audit log",
		Long: `Reads Batchgate's audit log, and prints JobUpdatePolicies that grant what was denied,
or granted with a warning. They grant only what is in the log: to the users who made
the changes, in the namespaces and for the fields that they changed. If all Jobs of
a policy have labels in common, it selects them, and otherwise all Jobs of the
namespaces. Review the policies before you apply them.

Each line of the log is an event in JSON. Other lines are skipped, so the output of
kubectl logs can be used. Files may be compressed with gzip. With --namespace, only
the events of one namespace are read. What the policies cannot grant is reported on
standard error.

With --generalize the policies grant more than the log has: they select all Jobs,
keys with the same prefix up to a slash become a pattern, elements of a list become
[*], and users become a group that all of them are in. Comments say what has
changed.

Without an audit log, --metrics reads the metrics of a replica. They do not say who
made the changes, so the policy is for everyone and only warns.`,
		Example: `  # From the logs of the Pods
  kubectl -n batchgate-system logs -l app.kubernetes.io/name=batchgate-apiserver --tail=-1 |
    kubectl batchgate policy suggest --filename=- > policies.yaml

  # From collected files
  kubectl batchgate policy suggest --filename=audit.log --filename=audit-2026-03-01.log.gz --generalize

  # From the metrics of a replica
  kubectl batchgate policy suggest --metrics=metrics.txt`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return p.run() },
	}
	cmd.Flags().StringArrayVarP(&p.files, "filename", "f", nil, "File with audit events, or - for standard input. Repeat the flag for more files.")
	cmd.Flags().StringVar(&p.metrics, "metrics", "", "File with metrics in the Prometheus text format, or - for standard input, to use instead of an audit log.")
	cmd.Flags().BoolVar(&p.generalize, "generalize", false, "Suggest patterns and groups that grant more than the log has.")
	return cmd
}

func (p *suggestPolicies) run() error {
	switch {
	case len(p.files) == 0 && p.metrics == "":
		return nothingChanged{errors.New("set --filename to an audit log, or --metrics to a file with metrics")}
	case p.metrics != "" && (len(p.files) > 0 || p.generalize || ptr.Deref(p.config.Namespace, "") != ""):
		return nothingChanged{errors.New("--filename, --namespace and --generalize may not be set with --metrics")}
	}
	if err := p.checkOutput(); err != nil {
		return nothingChanged{err}
	}
	if p.metrics != "" {
		return p.fromMetrics()
	}
	log := suggest.NewLog(ptr.Deref(p.config.Namespace, ""))
	for _, name := range p.files {
		err := p.open(name, func(r io.Reader) error {
			return log.Read(r, func(lines int) { p.progress(fmt.Sprintf("read %d lines", lines)) })
		})
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
	}
	suggestions := log.Suggest()
	if p.generalize {
		suggestions = log.Generalize(suggestions)
	}
	p.progress(fmt.Sprintf("lines: %d, updates: %d, denied or granted with a warning: %d", log.Lines, log.Events, log.Used))
	if log.Rejected > 0 {
		p.progress(fmt.Sprintf("skipped, because Kubernetes or a webhook rejected the update after a warning: %d", log.Rejected))
	}
	switch {
	case log.Lines == 0:
		p.progress("warning: the audit log is empty; check where kube-apiserver and Batchgate write theirs")
	case log.Events == 0:
		p.progress("warning: no line is an audit event of an update; each line must have one event as JSON, not as an escaped string")
	}
	for _, problem := range log.Problems {
		p.progress("warning: " + problem)
	}
	if more := log.MoreProblems(); more > 0 {
		p.progress(fmt.Sprintf("warning: problems that are not listed: %d", more))
	}
	return p.printSuggestions(suggestions)
}

func (p *suggestPolicies) fromMetrics() error {
	return p.open(p.metrics, func(r io.Reader) error {
		suggestion, err := suggest.FromMetrics(r)
		if err != nil {
			return err
		}
		if suggestion == nil {
			return p.printSuggestions(nil)
		}
		return p.printSuggestions([]suggest.Suggestion{*suggestion})
	})
}

// open calls read with a file, or with standard input.
func (p *suggestPolicies) open(name string, read func(io.Reader) error) error {
	if name == "-" {
		return read(p.streams.In)
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return read(file)
}

// printSuggestions prints YAML with comments, or a list for programs.
func (p *suggestPolicies) printSuggestions(suggestions []suggest.Suggestion) error {
	if p.output == "json" || p.output == "yaml" {
		list := policyList{APIVersion: "v1", Kind: "List", Items: []policyManifest{}}
		for _, s := range suggestions {
			list.Items = append(list.Items, manifest(s.Policy))
			for _, note := range s.Notes {
				p.progress(s.Policy.Name + ": " + note)
			}
		}
		return p.print(list)
	}
	if len(suggestions) == 0 {
		fmt.Fprintln(p.streams.Out, "# There are no changes that a policy could grant.")
	}
	for i, s := range suggestions {
		if i > 0 {
			fmt.Fprintln(p.streams.Out, "---")
		}
		if err := printSuggestion(p.streams.Out, s); err != nil {
			return err
		}
	}
	return nil
}

// policyManifest is a policy without a status.
type policyManifest struct {
	APIVersion string                       `json:"apiVersion"`
	Kind       string                       `json:"kind"`
	Metadata   map[string]string            `json:"metadata"`
	Spec       v1alpha1.JobUpdatePolicySpec `json:"spec"`
}

type policyList struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Items      []policyManifest `json:"items"`
}

func manifest(p *v1alpha1.JobUpdatePolicy) policyManifest {
	return policyManifest{p.APIVersion, p.Kind, map[string]string{"name": p.Name}, p.Spec}
}

func printSuggestion(w io.Writer, s suggest.Suggestion) error {
	seen := ""
	if !s.First.IsZero() {
		seen = fmt.Sprintf(", from %s to %s", s.First.UTC().Format(time.RFC3339), s.Last.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(w, "# Changes: %d%s\n", s.Changes, seen)
	for _, note := range s.Notes {
		fmt.Fprintf(w, "# %s\n", note)
	}
	text, err := yaml.Marshal(manifest(s.Policy))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, strings.TrimRight(string(text), "\n"))
	return err
}
