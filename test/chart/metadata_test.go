// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

func TestChartVersions(t *testing.T) {
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	read := func(path ...string) []byte {
		content, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	var metadata struct{ Version, AppVersion, KubeVersion string }
	if err := yaml.Unmarshal(read("artifacts", "chart", "Chart.yaml"), &metadata); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(read("VERSION")))
	if metadata.Version != want || metadata.AppVersion != want {
		t.Errorf("version is %s and appVersion is %s, want %s as in the file VERSION", metadata.Version, metadata.AppVersion, want)
	}
	major, text, _ := strings.Cut(kubeVersion, ".")
	minor, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(">=%s.%d.0-0 <%s.%d.0-0", major, minor-2, major, minor+1); metadata.KubeVersion != want {
		t.Errorf("kubeVersion is %q, want %q", metadata.KubeVersion, want)
	}
}
