// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A new minor version of Kubernetes may use other gates.
func TestPodFeatureGates_AreUpstreams(t *testing.T) {
	output, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	gate := regexp.MustCompile(`\bfeatures\.([A-Z][A-Za-z0-9]+)`)
	var want []string
	for _, directory := range []string{"api/pod", "api/job", "registry/batch", "apis/batch", "apis/core/validation", "apis/core/v1"} {
		root := filepath.Join(strings.TrimSpace(string(output)), "pkg", filepath.FromSlash(directory))
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path)
			for _, match := range gate.FindAllSubmatch(content, -1) {
				want = append(want, string(match[1]))
			}
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), podFeatureGates); diff != "" {
		t.Errorf("podFeatureGates (-Kubernetes +ours):\n%s", diff)
	}
}
