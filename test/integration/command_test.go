// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCommandHelpAndFlagErrors(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		args  []string
		code  int
		parts []string
	}{
		"help": {
			args: []string{"--help"},
			parts: []string{
				"batchgate-apiserver", "Batchgate flags:", "Etcd flags:", "Secure serving flags:", "Authentication flags:",
				"--etcd-prefix string", `(default "/registry")`, "--serve-self-link", "--embedded-etcd-directory", "standalone",
			},
		},
		"standalone help": {
			args:  []string{"standalone", "--help"},
			parts: []string{"Standalone flags:", "--directory", "--secure-port", "admin.kubeconfig"},
		},
		"version":                      {args: []string{"--version"}, parts: []string{"v"}},
		"standalone without directory": {args: []string{"standalone"}, code: 1, parts: []string{"--directory is required"}},
		"unknown flag":                 {args: []string{"--etcd"}, code: 1, parts: []string{"unknown flag: --etcd"}},
		"unknown subcommand":           {args: []string{"serve"}, code: 1, parts: []string{`unknown command "serve"`}},
		"several invalid flags": {
			args: []string{"--secure-port=0", "--max-requests-inflight=-1", "--logging-format=xml", "--feature-gates=Nope=true"}, code: 1,
			parts: []string{
				"--etcd-servers must be specified", "--secure-port must not be 0", "--tls-cert-file and --tls-private-key-file are required",
				"--max-requests-inflight can not be negative", "logging.format", "unrecognized feature gate: Nope", "--kubeconfig is required",
			},
		},
		"malformed emulated version and other errors": {
			args: []string{"--emulated-version=x", "--secure-port=0"}, code: 1,
			parts: []string{"as version, ", "--secure-port must not be 0"},
		},
		"unsupported emulated version and other errors": {
			args: []string{"--emulated-version=1.20", "--secure-port=0", "--kubeconfig=/nowhere/kubeconfig"}, code: 1,
			parts: []string{"emulation version 1.20", "--secure-port must not be 0", "reading --kubeconfig: stat /nowhere/kubeconfig"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, row.args...)
			out := &outputBuffer{}
			cmd.Stdout, cmd.Stderr = out, out
			exited := make(chan struct{})
			if err := startCommand(cmd, exited); err != nil {
				t.Fatal(err)
			}
			<-exited
			if code := cmd.ProcessState.ExitCode(); code != row.code {
				t.Errorf("exit code is %d, want %d", code, row.code)
			}
			for _, part := range row.parts {
				if !strings.Contains(out.String(), part) {
					t.Errorf("output does not contain %q:\n%s", part, out)
				}
			}
		})
	}
}

func TestStandalonePrintsInstructions(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "data")
	p := startStandaloneProcess(t, directory)
	// The server prints them after its own readiness check, which may be later than ours.
	for deadline := time.Now().Add(waitTimeout); !strings.Contains(p.stdout.String(), "Ctrl-C"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("stdout has no instructions: %q", p.stdout)
		}
	}
	for _, want := range []string{
		"Batchgate serves batch/v1 at " + p.url + ". Try",
		"export KUBECONFIG=" + filepath.Join(directory, "admin.kubeconfig") + "\n",
	} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("stdout does not contain %q:\n%s", want, p.stdout)
		}
	}
}
