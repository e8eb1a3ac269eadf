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

// upstreamFile reads a file that upstream publishes about its own API, of the release that
// this module is built with. They are better golden files than copies of them: a new release
// of Kubernetes brings its own.
func readUpstreamFile(t *testing.T, into any, path ...string) {
	t.Helper()
	directory, err := upstreamDirectory()
	if err != nil {
		t.Fatalf("looking for the module k8s.io/kubernetes: %v", err)
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
