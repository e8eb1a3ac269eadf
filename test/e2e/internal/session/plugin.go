// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/batchgate/batchgate/test/framework"
)

// plugin is kubectl-batchgate, which the first test that needs it builds.
var plugin struct {
	once sync.Once
	path string
	err  error
}

func buildPlugin(path string) error {
	root, err := framework.Root()
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", path, "./cmd/kubectl-batchgate")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building kubectl-batchgate: %w: %s", err, output)
	}
	return nil
}

// ExpectPlugin runs kubectl batchgate, checks its exit code, and checks that its output contains all
// texts. It returns standard output.
func (s Session) ExpectPlugin(wantCode int, args []string, texts ...string) string {
	s.T.Helper()
	stdout, stderr, code := s.runPlugin(args)
	command := "kubectl batchgate " + strings.Join(args, " ")
	if code != wantCode {
		s.T.Fatalf("%s exited with %d, want %d:\n%s%s", command, code, wantCode, stdout, stderr)
	}
	for _, text := range texts {
		if !strings.Contains(stdout+stderr, text) {
			s.T.Errorf("%s did not print %q:\n%s%s", command, text, stdout, stderr)
		}
	}
	return stdout
}

// PluginDir returns the directory with kubectl-batchgate.
func (s Session) PluginDir() string {
	s.T.Helper()
	plugin.once.Do(func() {
		plugin.path = filepath.Join(s.Cluster.Dir, "bin", "kubectl-batchgate")
		plugin.err = buildPlugin(plugin.path)
	})
	if plugin.err != nil {
		s.T.Fatal(plugin.err)
	}
	return filepath.Dir(plugin.path)
}

func (s Session) runPlugin(args []string) (stdout, stderr string, code int) {
	s.T.Helper()
	directory := s.PluginDir()
	direct, err := url.Parse(s.Cluster.DirectConfig().Host)
	if err != nil {
		s.T.Fatal(err)
	}
	// No kubelet forwards ports here, and the Service uses the port of the Batchgate process.
	all := append([]string{"batchgate"}, args...)
	if !strings.Contains(strings.Join(args, " "), "--batchgate-server") {
		all = append(all, "--batchgate-server="+direct.Host)
	}
	if !strings.Contains(strings.Join(args, " "), "--service-port") {
		all = append(all, "--service-port="+direct.Port())
	}
	kubectl := s.Kubectl.WithEnv("PATH", directory+":"+os.Getenv("PATH"))
	stdout, stderr, err = kubectl.Run(s.T.Context(), all...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stdout, stderr, exit.ExitCode()
	}
	if err != nil {
		s.T.Fatal(err)
	}
	return stdout, stderr, 0
}

// APIService returns the labels and the spec of APIService v1.batch, in a form that can be compared.
func (s Session) APIService() string {
	s.T.Helper()
	return s.Run("get", "apiservice", "v1.batch", "--output=jsonpath={.metadata.labels}{.spec}")
}
