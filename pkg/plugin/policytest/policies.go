// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/apis/policy/validation"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

// Policies are the policies of a cluster: those in the files, and the bootstrap policies that no file has.
type Policies struct {
	// Files has the file of each policy by its name.
	Files map[string]string

	policies []*v1alpha1.JobUpdatePolicy
}

// Load reads policies from files and directories, in which it reads all files with the extensions yaml, yml
// and json. The path "-" is stdin. It skips objects of other kinds. It returns an error if a policy is
// invalid, or if no file has one.
func Load(paths []string, stdin io.Reader) (*Policies, error) {
	p := &Policies{Files: map[string]string{}}
	for _, path := range paths {
		if path == "-" {
			if err := p.read("standard input", stdin); err != nil {
				return nil, err
			}
			continue
		}
		root, err := filepath.EvalSymlinks(path) // WalkDir does not follow a link
		if err != nil {
			return nil, err
		}
		if err := filepath.WalkDir(root, p.visit(root)); err != nil {
			return nil, err
		}
	}
	if len(p.policies) == 0 {
		return nil, fmt.Errorf("there is no JobUpdatePolicy in %q", paths)
	}
	return p, nil
}

// visit returns a function that reads the manifests below a path. A file that the path names is read
// whatever its extension is.
func (p *Policies) visit(root string) fs.WalkDirFunc {
	return func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// The files of a mounted ConfigMap are links to files in such a directory.
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), "..") {
			return filepath.SkipDir
		}
		if entry.IsDir() || path != root && !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
			return nil
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return p.read(path, file)
	}
}

// read adds the policies of a file with one or more documents.
func (p *Policies) read(name string, r io.Reader) error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(r))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = p.add(name, document)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

// add adds the policies of an object, which may be a list.
func (p *Policies) add(name string, document []byte) error {
	var object struct {
		metav1.TypeMeta
		Items []json.RawMessage
	}
	if list := (&[]any{}); yaml.Unmarshal(document, list) == nil {
		return nil // no object, for example a JSON patch
	}
	if err := yaml.Unmarshal(document, &object); err != nil {
		return err
	}
	for _, item := range object.Items {
		if err := p.add(name, item); err != nil {
			return err
		}
	}
	if object.GroupVersionKind().Group != policy.GroupName || object.Kind != "JobUpdatePolicy" {
		return nil
	}
	if object.APIVersion != v1alpha1.GroupVersion.String() {
		return fmt.Errorf("unknown apiVersion %s of a JobUpdatePolicy", object.APIVersion)
	}
	added := &v1alpha1.JobUpdatePolicy{}
	if err := yaml.UnmarshalStrict(document, added); err != nil {
		return err
	}
	if other, ok := p.Files[added.Name]; ok {
		return fmt.Errorf("%s has a JobUpdatePolicy %s, too", other, added.Name)
	}
	v1alpha1.SetDefaults_JobUpdatePolicySpec(&added.Spec)
	internal := &policy.JobUpdatePolicy{}
	if err := v1alpha1.Convert_v1alpha1_JobUpdatePolicy_To_policy_JobUpdatePolicy(added, internal, nil); err != nil {
		return err
	}
	if errs := validation.ValidateJobUpdatePolicy(internal); len(errs) > 0 {
		return fmt.Errorf("JobUpdatePolicy %s: %w", added.Name, errs.ToAggregate())
	}
	p.Files[added.Name] = name
	p.policies = append(p.policies, added)
	return nil
}

// compile returns the policies in the form in which the server evaluates them.
func (p *Policies) compile() (*fieldpolicy.Snapshot, error) {
	all := slices.Clone(p.policies)
	for _, bootstrap := range bootstrappolicy.Policies() {
		if _, ok := p.Files[bootstrap.Name]; !ok {
			all = append(all, bootstrap)
		}
	}
	snapshot, invalid := fieldpolicy.Compile(all)
	for name, err := range invalid {
		return nil, fmt.Errorf("JobUpdatePolicy %s: %w", name, err)
	}
	return snapshot, nil
}
