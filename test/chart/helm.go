// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/component-base/version"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

// Release is the name of releases in tests.
const Release = "batchgate"

// Helm is a helm program.
type Helm struct {
	// Name is helm, which is version 4, or helm3.
	Name string
	// Kubeconfig is empty for commands that need no cluster.
	Kubeconfig string

	binary, home string
}

// Programs returns the supported versions of helm, the newest first, and builds them if they are
// missing. They keep their files in the directory home.
func Programs(ctx context.Context, kubeconfig, home string) ([]Helm, error) {
	helm, err := framework.BuildTool(ctx, "helm")
	if err != nil {
		return nil, err
	}
	var programs []Helm
	for _, name := range []string{"helm", "helm3"} {
		programs = append(programs, Helm{Name: name, Kubeconfig: kubeconfig, binary: filepath.Join(filepath.Dir(helm), name), home: home})
	}
	return programs, nil
}

// Run runs helm in the root of the work tree. The error of a failed command contains its standard
// error.
func (h Helm) Run(ctx context.Context, stdin string, args ...string) (stdout string, err error) {
	root, err := framework.Root()
	if err != nil {
		return "", err
	}
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, h.binary, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "HOME="+h.home, "KUBECONFIG="+h.Kubeconfig,
		"HELM_CACHE_HOME="+h.home, "HELM_CONFIG_HOME="+h.home, "HELM_DATA_HOME="+h.home)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", h.Name, strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), nil
}

// Template renders the chart without a cluster.
func (h Helm) Template(ctx context.Context, namespace string, values map[string]any, args ...string) (string, error) {
	file, err := yaml.Marshal(values)
	if err != nil {
		return "", err
	}
	return h.Run(ctx, string(file), append([]string{
		"template", Release, "artifacts/chart", "--namespace=" + namespace, "--kube-version=" + kubeVersion, "--values=-",
	}, args...)...)
}

// kubeVersion is the minor version of Kubernetes that the chart is for.
const kubeVersion = version.DefaultKubeBinaryVersion
