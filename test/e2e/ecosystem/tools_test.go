// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	pageFile      = "docs/generated/ecosystem.md"
	updateCommand = "UPDATE_GOLDEN=1 make test-e2e SUITE=ecosystem RUN=TestTools"
)

// forms are the states of the cluster in which each tool runs, in this order.
var forms = []string{"without a policy", "with the policy", "after the rollback"}

// tool is a program that changes Jobs.
type tool struct {
	// name and version are as the page shows them.
	name, version string
	// policy is the file with the policy of the second form.
	policy string
	// namespace is the one that the policy applies to. If it is empty, each run has its own.
	namespace string
	// run performs the steps of the tool, always the same ones.
	run func(*toolRun)
	// missing says what to install if the tool cannot run.
	missing string
}

func (c tool) title() string { return strings.TrimSpace(c.name + " " + c.version) }

// toolRun runs a tool in one form.
type toolRun struct {
	session
	steps []step
}

// step is something that a tool does. result is what users see of it.
type step struct{ name, result string }

const (
	// works is the result of a step that succeeds.
	works = "works"
	// deniedPrefix is before the denied paths in the result of a denied step.
	deniedPrefix = "denied: "
)

// record adds a step. The only expected errors are denials by the gate.
func (r *toolRun) record(name string, err error) {
	r.t.Helper()
	result := works
	if err != nil {
		if result = denied(err.Error()); result == "" {
			r.t.Errorf("%s: %v", name, err)
		}
	}
	r.recordResult(name, result)
}

func (r *toolRun) recordResult(name, result string) {
	r.steps = append(r.steps, step{name, result})
}

var deniedPath = regexp.MustCompile(`([a-z][^\s*]*): Forbidden: may not be updated`)

// denied returns the result of a step for a message that contains a denial by the gate, and
// otherwise "".
func denied(message string) string {
	var paths []string
	for _, match := range deniedPath.FindAllStringSubmatch(message, -1) {
		if path := "`" + match[1] + "`"; !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return ""
	}
	return deniedPrefix + strings.Join(paths, ", ")
}

// TestTools runs each tool without a policy, with one, and after the rollback. The results must be the
// ones on the page.
func TestTools(t *testing.T) {
	var tools []tool
	for _, namespace := range []string{kubectlNamespace, clientNamespace, impersonatedNamespace} {
		kubectl(t, "create", "namespace", namespace)
		session{t: t, namespace: namespace}.jobs().DeleteNamespaceAfterTest()
	}
	for _, add := range []func(*testing.T) []tool{kubectlTools, helmTools, clientTools, fluxTools, argoCDTools, mpiTools} {
		tools = append(tools, add(t)...)
	}
	results := map[string][][]step{}
	for i, form := range forms {
		switch i {
		case 1:
			applyPolicies(t, tools)
		case 2:
			rollBack(t)
		}
		for _, tool := range tools {
			t.Run(tool.title()+"/"+form, func(t *testing.T) {
				if tool.missing != "" {
					t.Skip(tool.missing)
				}
				r := &toolRun{session: session{t: t, namespace: tool.namespace}}
				if r.namespace == "" {
					r.session = newSession(t)
				}
				tool.run(r)
				results[tool.title()] = append(results[tool.title()], r.steps)
			})
		}
	}
	complete := slices.DeleteFunc(slices.Clone(tools), func(tool tool) bool { return len(results[tool.title()]) < len(forms) })
	page := renderPage(complete, results)
	switch {
	case t.Failed():
	case len(complete) == len(tools):
		framework.CompareGolden(t, pageFile, page, updateCommand)
	default:
		checkSections(t, page)
	}
}

// checkSections compares the sections of a page without all tools with the complete page.
func checkSections(t *testing.T, page string) {
	t.Helper()
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	complete, err := os.ReadFile(filepath.Join(root, pageFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range strings.Split(page, sectionMark)[1:] {
		if !strings.Contains(string(complete), sectionMark+section) {
			t.Errorf("%s does not have this section:\n%s", pageFile, section)
		}
	}
}

// applyPolicies applies the policies of the tools until the test ends.
func applyPolicies(t *testing.T, tools []tool) {
	t.Helper()
	for _, tool := range tools {
		t.Cleanup(func() {
			if _, _, err := cluster.Kubectl().Run(context.Background(), "delete", "--ignore-not-found", "--filename="+tool.policy); err != nil {
				t.Error(err)
			}
		})
		kubectl(t, "apply", "--server-side", "--filename="+tool.policy)
		kubectl(t, "wait", "--for=condition=Ready", "--timeout=60s", "--filename="+tool.policy)
	}
}

// rollBack makes kube-apiserver serve batch/v1 until the test ends.
func rollBack(t *testing.T) {
	t.Helper()
	s := newSession(t)
	s.createJob(newJob("probe", 1))
	t.Cleanup(func() {
		if err := cluster.TakeOver(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := cluster.RollBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.eventually("have Jobs served by kube-apiserver", func() error {
		_, _, err := cluster.Kubectl().Run(t.Context(), "--namespace="+s.namespace, "annotate", "--overwrite", "job", "probe", "native=yes")
		return err
	})
}

// examplePolicyFile returns the file of an example policy.
func examplePolicyFile(name string) string {
	return filepath.Join("artifacts", "examples", "policies", name+".yaml")
}

// toolJob returns a Job whose parallelism can be changed with and without Batchgate.
func toolJob(name string, parallelism int32, changes ...func(*batchv1.Job)) *batchv1.Job {
	return newJob(name, parallelism, append(changes, func(j *batchv1.Job) { j.Spec.Completions = new(int32(4)) })...)
}

// kubectl runs kubectl as admin and returns its trimmed output.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return session{t: t, namespace: metav1.NamespaceDefault}.run(args...)
}

// sectionMark starts a section.
const sectionMark = "\n## "

// renderPage returns the page. results are by title, and then by form. Versions of a program with the same
// results share a section.
func renderPage(tools []tool, results map[string][][]step) string {
	var summary, sections strings.Builder
	for len(tools) > 0 {
		first := tools[0]
		steps := results[first.title()]
		versions := []string{first.version}
		for tools = tools[1:]; len(tools) > 0 && tools[0].name == first.name && reflect.DeepEqual(results[tools[0].title()], steps); tools = tools[1:] {
			versions = append(versions, tools[0].version)
		}
		fmt.Fprintf(&summary, "| %s | %s | [%s](../../%s) |", first.name, strings.Join(versions, ", "), filepath.Base(first.policy), first.policy)
		for _, form := range steps {
			fmt.Fprintf(&summary, " %s |", summarize(form))
		}
		summary.WriteString("\n")
		sections.WriteString(renderSection(first.name, steps))
	}
	return pageHeader + summary.String() + sections.String()
}

// summarize returns the results of a form in a few words.
func summarize(steps []step) string {
	denied := 0
	for _, s := range steps {
		if strings.HasPrefix(s.result, deniedPrefix) {
			denied++
		}
	}
	if denied == 0 {
		return works
	}
	return fmt.Sprintf("%d of %d steps denied", denied, len(steps))
}

// renderSection returns the section of a program. results are by form.
func renderSection(name string, results [][]step) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n\n| step | %s |\n| --- |%s\n", sectionMark, name, strings.Join(forms, " | "), strings.Repeat(" --- |", len(forms)))
	for i, s := range results[0] {
		fmt.Fprintf(&b, "| %s |", s.name)
		for _, form := range results {
			fmt.Fprintf(&b, " %s |", form[i].result)
		}
		b.WriteString("\n")
	}
	return b.String()
}

const pageHeader = `<!-- Generated by ` + updateCommand + `. DO NOT EDIT. -->
# Tools and clients

This page shows what programs that change Jobs can do behind the gate. Use it to see whether a program works as it is,
needs its recipe, or has a limit.

A test runs each program on a control plane: without a policy, with the policy in the table, and after the rollback to
kube-apiserver. Each step is what a user of that program does. A denied step changes no existing Job.

Kueue and JobSet have tests of their own, with their recipes: [Recipes](../tasks/recipes.md).

| program | version | policy | without a policy | with the policy | after the rollback |
| --- | --- | --- | --- | --- | --- |
`
