// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node tests what a release installs on real nodes: the image in containers, the topologies
// except batch-etcd by their manifests and by the chart, Jobs whose Pods really run, and what happens
// when containers and nodes fail. The commands come from the pages docs/tasks/install*.md.
//
// The tests need what hack/node-requirements.sh checks, and _output/release-test, which hack/test.sh builds.
package node

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
	"github.com/batchgate/batchgate/test/node"
)

// namespace is the namespace of Batchgate.
const namespace = framework.Namespace

var (
	programs node.Programs
	// release is the directory with the files of the release, and images the image archives.
	release string
	images  []string
	version string
)

func TestMain(m *testing.M) {
	node.Main()
	flag.Parse()
	// Each test waits most of the time.
	if err := flag.Set("test.parallel", "2"); err != nil {
		panic(err)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	if err := node.CheckMachine(ctx); err != nil {
		return 1, err
	}
	root, err := framework.Root()
	if err != nil {
		return 1, err
	}
	content, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return 1, err
	}
	version = strings.TrimSpace(string(content))
	release = filepath.Join(root, "_output", "release-test")
	image := filepath.Join(release, "batchgate-apiserver_v"+version+"_oci.tar")
	if _, err := os.Stat(image); err != nil {
		return 1, fmt.Errorf("%w; run make test-node, which builds it", err)
	}
	if programs, err = node.BuildPrograms(ctx); err != nil {
		return 1, err
	}
	directory, err := os.MkdirTemp("", "batchgate-node-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(directory)
	if images, err = programs.WriteImages(ctx, directory); err != nil {
		return 1, err
	}
	images = append(images, image)
	before, err := node.Leftovers()
	if err != nil {
		return 1, err
	}
	code = m.Run()
	after, err := node.Leftovers()
	if err != nil {
		return 1, err
	}
	if diff := after.Difference(before); diff.Len() > 0 {
		return 1, fmt.Errorf("the tests left behind: %s", strings.Join(diff.UnsortedList(), ", "))
	}
	if code != 0 {
		return code, nil
	}
	return 0, writeReport()
}
