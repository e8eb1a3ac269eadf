// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/plugin/policytest"
)

// testPolicies is the command policy test.
type testPolicies struct {
	*settings
	policies        []string
	cases           []string
	junit           string
	old, new, patch string
	namespaceLabels string
	// stdin is the content of standard input, if a flag names it.
	stdin []byte
}

func newPolicyTestCommand(s *settings) *cobra.Command {
	p := &testPolicies{settings: s}
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Test JobUpdatePolicies in files",
		Long: `Evaluates updates of Jobs against the JobUpdatePolicies in files, with the engine of
the server and without a cluster. The bootstrap policies of the server apply too.

With --cases it compares the decisions about many updates with the expected ones.
With --old and --new, or --patch, it prints the decision about one update, by the
user of --as and --as-group.

The rules of Kubernetes and admission plugins are not evaluated: that the Pod
template of a running Job is immutable, for example.

Exit codes:
  0  all cases are as expected, or the update is allowed
  1  a case is not as expected or cannot be evaluated, or the update is denied
  2  a flag or a file is invalid`,
		Example: `  # The cases of a file, which names its policies
  kubectl batchgate policy test --cases=policies-test.yaml --junit=report.xml

  # The output of kustomize
  kubectl kustomize policies | kubectl batchgate policy test --filename=- --cases=policies-test.yaml

  # One update
  kubectl batchgate policy test --filename=policies --old=job.yaml --new=job2.yaml --as=alice --as-group=dev`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return p.run() },
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&p.policies, "filename", "f", nil, "File or directory with JobUpdatePolicies, or - for standard input. Repeat the flag for more. Objects of other kinds are skipped.")
	flags.StringArrayVar(&p.cases, "cases", nil, "File with cases, of the kind "+policytest.Kind+". Repeat the flag for more files.")
	flags.StringVar(&p.junit, "junit", "", "File to write a JUnit report about the cases to.")
	flags.StringVar(&p.old, "old", "", "File with the Job before the update.")
	flags.StringVar(&p.new, "new", "", "File with the Job after the update.")
	flags.StringVar(&p.patch, "patch", "", "JSON merge patch of the Job, instead of --new.")
	flags.StringVar(&p.namespaceLabels, "namespace-labels", "", "Labels of the Job's namespace, such as env=test. The label kubernetes.io/metadata.name is added.")
	return cmd
}

func (p *testPolicies) run() error {
	if err := p.checkFlags(); err != nil {
		return unanswered(err)
	}
	if len(p.cases) > 0 {
		return p.runCases()
	}
	return p.runUpdate()
}

func (p *testPolicies) checkFlags() error {
	user := ptr.Deref(p.config.Impersonate, "") != "" || len(ptr.Deref(p.config.ImpersonateGroup, nil)) > 0
	switch {
	case len(p.cases) > 0 && (p.old != "" || p.new != "" || p.patch != "" || p.namespaceLabels != "" || user || ptr.Deref(p.config.Namespace, "") != ""):
		return errors.New("--old, --new, --patch, --namespace, --namespace-labels, --as and --as-group are for one update, and may not be set with --cases")
	case len(p.cases) == 0 && p.old == "":
		return errors.New("set --cases to a file with cases, or --old to a Job")
	case p.old != "" && (p.new == "") == (p.patch == ""):
		return errors.New("set either --new to the Job after the update, or --patch")
	case p.old != "" && len(p.policies) == 0:
		return errors.New("set --filename to the policies")
	case p.junit != "" && len(p.cases) == 0:
		return errors.New("--junit needs --cases")
	}
	return p.checkOutput()
}

// load reads policies. Standard input can be read only once, but each file of cases may need it.
func (p *testPolicies) load(paths []string) (*policytest.Policies, error) {
	if p.stdin == nil && slices.Contains(p.policies, "-") {
		var err error
		if p.stdin, err = io.ReadAll(p.streams.In); err != nil {
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
	}
	return policytest.Load(paths, bytes.NewReader(p.stdin))
}

// runUpdate evaluates one update.
func (p *testPolicies) runUpdate() error {
	policies, err := p.load(p.policies)
	if err != nil {
		return unanswered(err)
	}
	update := policytest.Update{
		User: ptr.Deref(p.config.Impersonate, ""), Groups: ptr.Deref(p.config.ImpersonateGroup, nil), Namespace: ptr.Deref(p.config.Namespace, ""),
	}
	if update.Old, err = os.ReadFile(p.old); err != nil {
		return unanswered(err)
	}
	if p.patch != "" {
		update.Patch = []byte(p.patch)
	} else if update.New, err = os.ReadFile(p.new); err != nil {
		return unanswered(err)
	}
	if update.NamespaceLabels, err = labels.ConvertSelectorToLabelsMap(p.namespaceLabels); err != nil {
		return unanswered(fmt.Errorf("--namespace-labels: %w", err))
	}
	result, err := policies.Evaluate(update)
	if err != nil {
		return unanswered(err)
	}
	if p.output == "" {
		fmt.Fprintf(p.streams.Out, "%s: %s\n", result.Decision, result)
	} else if err := p.print(result); err != nil {
		return unanswered(err)
	}
	if result.Decision == v1alpha1.ReviewDeny {
		return errors.New("the update is denied")
	}
	return nil
}

// runCases evaluates the cases of all files.
func (p *testPolicies) runCases() error {
	shared, err := p.sharedPolicies()
	if err != nil {
		return unanswered(err)
	}
	results := map[string][]policytest.CaseResult{}
	failed := 0
	for _, file := range p.cases {
		test, err := policytest.ReadTest(file)
		if err != nil {
			return unanswered(err)
		}
		policies := shared
		if len(test.Policies) > 0 {
			if policies, err = p.load(slices.Concat(test.Policies, p.policies)); err != nil {
				return unanswered(err)
			}
		}
		if policies == nil {
			return unanswered(fmt.Errorf("%s: set policies in the file, or --filename", file))
		}
		results[file] = test.Run(policies)
		if p.output == "" && len(p.cases) > 1 {
			fmt.Fprintf(p.streams.Out, "%s:\n", file)
		}
		for _, r := range results[file] {
			if r.Failure != "" {
				failed++
			}
			if p.output == "" {
				p.printCase(r)
			}
		}
	}
	if p.output != "" {
		if err := p.print(results); err != nil {
			return unanswered(err)
		}
	}
	if err := p.writeJUnit(results); err != nil {
		return unanswered(err)
	}
	if failed > 0 {
		return fmt.Errorf("cases that are not as expected: %d", failed)
	}
	return nil
}

// sharedPolicies returns the policies of --filename, or nil.
func (p *testPolicies) sharedPolicies() (*policytest.Policies, error) {
	if len(p.policies) == 0 {
		return nil, nil
	}
	return p.load(p.policies)
}

func (p *testPolicies) printCase(r policytest.CaseResult) {
	if r.Failure != "" {
		fmt.Fprintf(p.streams.Out, "FAILED  %s: %s\n", r.Name, r.Failure)
		return
	}
	fmt.Fprintf(p.streams.Out, "ok      %s: %s: %s\n", r.Name, r.Decision, r.Result)
}

func (p *testPolicies) writeJUnit(results map[string][]policytest.CaseResult) error {
	if p.junit == "" {
		return nil
	}
	file, err := os.Create(p.junit)
	if err != nil {
		return err
	}
	if err := policytest.WriteJUnit(file, p.cases, results); err != nil {
		return errors.Join(err, file.Close())
	}
	return file.Close()
}
