// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// readUpstreamFile decodes a file below api/ of the k8s.io/kubernetes module that this module
// requires. These files describe upstream's API. Unlike copies in this repository, they change
// with the Kubernetes version.
func readUpstreamFile(t *testing.T, into any, path ...string) {
	t.Helper()
	directory, err := upstreamDirectory()
	if err != nil {
		t.Fatalf("finding module k8s.io/kubernetes: %v", err)
	}
	content, err := os.ReadFile(filepath.Join(append([]string{directory, "api"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}

var upstreamDirectory = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	return strings.TrimSpace(string(out)), err
})
