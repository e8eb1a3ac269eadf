// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// clientNamespace is the namespace in testdata/clients.yaml.
const clientNamespace = "clients"

// clientTools returns the official clients. Their programs are in testdata.
func clientTools(t *testing.T) []tool {
	const policy = "test/e2e/ecosystem/testdata/clients.yaml"
	python := tool{name: "Python client", policy: policy, namespace: clientNamespace}
	if version, err := exec.CommandContext(t.Context(), debianPython, "-c", "import kubernetes; print(kubernetes.__version__)").Output(); err != nil {
		python.missing = "needs a package: apt-get install python3-kubernetes"
	} else {
		python.version = strings.TrimSpace(string(version))
		python.run = func(r *toolRun) { r.runClient(debianPython, "testdata/python/client.py") }
	}
	javaScript := tool{name: "JavaScript client", policy: policy, namespace: clientNamespace}
	if _, err := exec.LookPath("npm"); err != nil {
		javaScript.missing = "needs Node.js and npm"
		return []tool{python, javaScript}
	}
	directory, err := installJavaScript(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if javaScript.version, err = javaScriptVersion(directory); err != nil {
		t.Fatal(err)
	}
	javaScript.run = func(r *toolRun) { r.runClient("node", filepath.Join(directory, "client.js")) }
	return []tool{python, javaScript}
}

// runClient runs one of the programs in testdata, which prints the steps and their results.
func (r *toolRun) runClient(interpreter, program string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), interpreter, program, r.namespace, "pi")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig)
	output, err := cmd.Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			r.t.Fatalf("%v: %s%s", err, output, exit.Stderr)
		}
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(output)) {
		name, result, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if result == "ok" {
			r.record(name, nil)
		} else {
			r.record(name, errors.New(result))
		}
	}
}

// debianPython is Debian's Python, because Debian's package of the client is for it.
const debianPython = "/usr/bin/python3"

// javaScriptVersion returns the version of the client that is installed in a directory.
func javaScriptVersion(directory string) (string, error) {
	content, err := os.ReadFile(filepath.Join(directory, "node_modules", "@kubernetes", "client-node", "package.json"))
	if err != nil {
		return "", err
	}
	var manifest struct{ Version string }
	return manifest.Version, json.Unmarshal(content, &manifest)
}

// installJavaScript installs the JavaScript client beside the other tools, unless it is there.
func installJavaScript(ctx context.Context) (directory string, err error) {
	sources := os.DirFS("testdata/javascript")
	hash := sha256.New()
	for _, name := range []string{"package-lock.json", "client.js"} {
		content, err := os.ReadFile(filepath.Join("testdata/javascript", name))
		if err != nil {
			return "", err
		}
		hash.Write(content)
	}
	directory = filepath.Join(filepath.Dir(cluster.Binaries().Tools), fmt.Sprintf("javascript-%x", hash.Sum(nil)[:8]))
	if _, err := os.Stat(directory); err == nil {
		return directory, nil
	}
	temporary, err := os.MkdirTemp(filepath.Dir(directory), "javascript-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temporary)
	if err := os.CopyFS(temporary, sources); err != nil {
		return "", err
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = temporary
	if output, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, output)
	}
	return directory, os.Rename(temporary, directory)
}
