// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// Kind is the kind of a Test. It is no resource of the server.
const Kind = "JobUpdatePolicyTest"

// Test is a file with updates and the decisions that are expected.
type Test struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Policies are files and directories with policies, relative to the directory of the test.
	Policies []string `json:"policies,omitempty"`
	Cases    []Case   `json:"cases"`
}

// Case is an update and the expected decision.
type Case struct {
	Name            string            `json:"name"`
	User            string            `json:"user,omitempty"`
	Groups          []string          `json:"groups,omitempty"`
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"`
	// Old is the Job before the update, or a string with the name of its file.
	Old json.RawMessage `json:"old"`
	// New is the Job after the update, or a string with the name of its file. Either New or Patch, a JSON
	// merge patch, is required.
	New   json.RawMessage `json:"new,omitempty"`
	Patch json.RawMessage `json:"patch,omitempty"`
	// Expect is the expected decision.
	Expect Expectation `json:"expect"`
}

// Expectation is the decision that a case expects.
type Expectation struct {
	Decision v1alpha1.ReviewDecision `json:"decision"`
	// Paths are the paths that are denied, or, for the decision Warn, granted with a warning. They are not
	// checked if the list is missing.
	Paths []string `json:"paths,omitempty"`
}

// CaseResult is the result of a case.
type CaseResult struct {
	Name string `json:"name"`
	*Result
	// Failure says what differs from the expectation, or why the case could not be evaluated.
	Failure string `json:"failure,omitempty"`
}

// ReadTest reads a file with cases. The paths in it become relative to the working directory.
func ReadTest(file string) (*Test, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	t := &Test{}
	if err := decode(content, schema.GroupVersion(v1alpha1.GroupVersion).WithKind(Kind), t); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(t.Cases) == 0 {
		return nil, fmt.Errorf("%s: has no cases", file)
	}
	for i := range t.Policies {
		t.Policies[i] = relativeTo(file, t.Policies[i])
	}
	for i := range t.Cases {
		if err := t.Cases[i].prepare(file); err != nil {
			return nil, fmt.Errorf("%s: case %q: %w", file, t.Cases[i].Name, err)
		}
	}
	return t, nil
}

// decode decodes a manifest of a kind. Unknown fields, and further documents, are errors.
func decode(manifest []byte, kind schema.GroupVersionKind, into any) error {
	manifest, err := onlyDocument(manifest)
	if err != nil {
		return err
	}
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(manifest, &meta); err != nil {
		return err
	}
	apiVersion, name := kind.ToAPIVersionAndKind()
	if meta.APIVersion != apiVersion || meta.Kind != name {
		return fmt.Errorf("must have apiVersion %s and kind %s, and has %q and %q", apiVersion, name, meta.APIVersion, meta.Kind)
	}
	return yaml.UnmarshalStrict(manifest, into)
}

// onlyDocument returns the document of a YAML file that is not empty. It fails if there are several.
func onlyDocument(content []byte) ([]byte, error) {
	var only []byte
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return only, nil
		}
		if err != nil {
			return nil, err
		}
		var value any
		if err := yaml.Unmarshal(document, &value); err != nil {
			return nil, err
		}
		switch {
		case value == nil:
		case only != nil:
			return nil, errors.New("has more than one document: keep one")
		default:
			only = document
		}
	}
}

func relativeTo(file, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// prepare checks a case and reads its files.
func (c *Case) prepare(file string) error {
	decisions := []v1alpha1.ReviewDecision{v1alpha1.ReviewAllow, v1alpha1.ReviewWarn, v1alpha1.ReviewDeny}
	switch {
	case c.Old == nil:
		return fmt.Errorf("old is required")
	case (c.New == nil) == (c.Patch == nil):
		return fmt.Errorf("either new or patch is required")
	case !slices.Contains(decisions, c.Expect.Decision):
		return fmt.Errorf("expect.decision is %q, and must be Allow, Warn or Deny", c.Expect.Decision)
	case c.Expect.Decision == v1alpha1.ReviewAllow && len(c.Expect.Paths) > 0:
		return fmt.Errorf("expect.paths may not be set for the decision Allow")
	}
	for _, manifest := range []*json.RawMessage{&c.Old, &c.New} {
		var name string
		if *manifest == nil || json.Unmarshal(*manifest, &name) != nil {
			continue
		}
		content, err := os.ReadFile(relativeTo(file, name))
		if err != nil {
			return err
		}
		*manifest = content
	}
	return nil
}

// Run evaluates the cases.
func (t *Test) Run(p *Policies) []CaseResult {
	var results []CaseResult
	for _, c := range t.Cases {
		update := Update{User: c.User, Groups: c.Groups, NamespaceLabels: c.NamespaceLabels, Old: c.Old, New: c.New, Patch: c.Patch}
		result, err := p.Evaluate(update)
		r := CaseResult{Name: c.Name, Result: result}
		if err != nil {
			r.Failure = err.Error()
		} else {
			r.Failure = c.Expect.compare(result)
		}
		results = append(results, r)
	}
	return results
}

// compare returns what differs from the expectation, or "".
func (e *Expectation) compare(r *Result) string {
	paths := r.Denied
	if r.Decision == v1alpha1.ReviewWarn {
		paths = r.Warned
	}
	want := slices.Sorted(slices.Values(e.Paths))
	switch {
	case r.Decision != e.Decision:
		return fmt.Sprintf("the decision is %s, want %s; %s", r.Decision, e.Decision, r)
	case e.Paths != nil && !slices.Equal(want, paths):
		return fmt.Sprintf("the paths are %s, want %s", strings.Join(paths, ", "), strings.Join(want, ", "))
	}
	return ""
}

// String explains the decision.
func (r *Result) String() string {
	policies := strings.Join(r.Policies, ", ")
	switch {
	case len(r.Denied) > 0 && policies != "":
		return fmt.Sprintf("no JobUpdatePolicy grants %s; other changes are granted by %s", strings.Join(r.Denied, ", "), policies)
	case len(r.Denied) > 0:
		return "no JobUpdatePolicy grants " + strings.Join(r.Denied, ", ")
	case len(r.Warned) > 0:
		return fmt.Sprintf("granted by %s, with a warning about %s", policies, strings.Join(r.Warned, ", "))
	case policies == "":
		return "nothing changes"
	}
	return "granted by " + policies
}
