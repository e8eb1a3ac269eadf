// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/component-base/version"
)

// execute runs a command line that ends before the server starts.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := NewCommand(t.Context())
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func TestNewCommand_Help(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want []string // in this order
		not  []string
	}{
		"server": {
			[]string{"--help"},
			[]string{
				"Batchgate is an aggregated API server", "batchgate-apiserver [flags]",
				"Batchgate flags:", "--embedded-etcd-directory", "Generic flags:", "--feature-gates", "Etcd flags:", "--etcd-prefix",
				"Secure serving flags:", "--tls-cert-file", "Authentication flags:", "Authorization flags:", "Admission flags:",
				"Auditing flags:", "Logs flags:", "--logging-format", "Global flags:", "--version",
			},
			[]string{"--directory"},
		},
		"standalone": {
			[]string{"standalone", "--help"},
			[]string{
				"Serves batch/v1 without a cluster", "batchgate-apiserver standalone [flags]",
				"Standalone flags:", "--bind-address", "--directory", "--secure-port", "--serve-self-link", "Logs flags:", "Global flags:",
			},
			[]string{"--etcd-servers", "--kubeconfig"},
		},
		"etcd-seed": {
			[]string{"etcd-seed", "--help"},
			[]string{
				"Prepares the data directory of a new member", "batchgate-apiserver etcd-seed [flags]",
				"Etcd seed flags:", "--data-dir", "--initial-cluster", "--listen-peer-urls", "--revision", "1000000000000", "Global flags:",
			},
			[]string{"--etcd-servers", "--secure-port"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			help, err := execute(t, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			rest := help
			for _, part := range tc.want {
				_, after, found := strings.Cut(rest, part)
				if !found {
					t.Fatalf("got no %q after the parts before it in\n%s", part, help)
				}
				rest = after
			}
			_, flags, _ := strings.Cut(help, "flags:\n")
			for _, part := range tc.not {
				if strings.Contains(flags, part+" ") {
					t.Errorf("got unexpected flag %q in\n%s", part, help)
				}
			}
		})
	}
}

func TestNewCommand_Version(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"standalone", "--version"}} {
		out, err := execute(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out, version.Get().GitVersion) || strings.Contains(out, "Flags") {
			t.Errorf("%q printed %q, want %s", args, out, version.Get().GitVersion)
		}
	}
}

func TestNewCommand_InvalidArgs(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // The test itself may run in a cluster.
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"unknown flag":                     {[]string{"--no-such-flag"}, []string{"unknown flag: --no-such-flag"}},
		"unknown command":                  {[]string{"serve"}, []string{`unknown command "serve"`}},
		"unknown standalone flag":          {[]string{"standalone", "--etcd-servers=x"}, []string{"unknown flag: --etcd-servers"}},
		"etcd-seed without required flags": {[]string{"etcd-seed", "--name=a"}, []string{"--data-dir, --name, --initial-advertise-peer-urls and --initial-cluster are required"}},
		"standalone argument":              {[]string{"standalone", "x"}, []string{`unknown command "x"`}},
		"standalone without directory":     {[]string{"standalone"}, []string{"--directory is required"}},
		"port not a number":                {[]string{"--secure-port=x"}, []string{`invalid argument "x" for "--secure-port"`}},
		"no flags":                         {nil, []string{"--etcd-servers must be specified", "--tls-cert-file and --tls-private-key-file are required", "--kubeconfig is required"}},
		"invalid logging and other flags": {
			[]string{"--logging-format=xml", "--secure-port=0"},
			[]string{"Unsupported log format", "--secure-port must not be 0", "--etcd-servers must be specified"},
		},
		"invalid standalone logging": {
			[]string{"standalone", "--directory=" + t.TempDir(), "--logging-format=xml"},
			[]string{"Unsupported log format"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := execute(t, tc.args...)
			if err == nil {
				t.Fatalf("got no error and output\n%s", out)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got error\n%v\nwant it to contain\n%s", err, part)
				}
			}
			if strings.Contains(out, "flags:") {
				t.Errorf("got the usage next to the error:\n%s", out)
			}
		})
	}
}

func TestExplainEtcdError(t *testing.T) {
	servers := []string{"https://127.0.0.1:2379", "https://10.0.0.2:2379"}
	timeout := fmt.Errorf("etcd grpc connection not ready: %w", context.DeadlineExceeded) // upstream's error
	err := explainEtcdError(timeout, servers)
	want := "connecting to etcd at https://127.0.0.1:2379,https://10.0.0.2:2379: etcd grpc connection not ready: context deadline exceeded: check that "
	if !errors.Is(err, timeout) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %q, want it to begin with %q", err, want)
	}
	other := errors.New("other")
	if err := explainEtcdError(other, servers); err != other {
		t.Errorf("got %q, want an unchanged error", err)
	}
}

// An invalid flag must not leave an incomplete directory.
func TestStandalone_InvalidFlagWritesNothing(t *testing.T) {
	directory := t.TempDir()
	if _, err := execute(t, "standalone", "--directory="+directory, "--secure-port=0"); err == nil {
		t.Fatal("got no error")
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) > 0 {
		t.Errorf("the directory contains %v, %v, want nothing", entries, err)
	}
}

func TestPrintBanner(t *testing.T) {
	var out bytes.Buffer
	printBanner(&out, "https://127.0.0.1:8443", "/data/admin.kubeconfig")
	lines := strings.Split(out.String(), "\n")
	for _, want := range []string{
		"Batchgate serves batch/v1 at https://127.0.0.1:8443. Try in another terminal:",
		"  export KUBECONFIG=/data/admin.kubeconfig",
		"  kubectl get jobs",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("got no line %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "%!") {
		t.Errorf("got an invalid format verb in\n%s", out.String())
	}
}
