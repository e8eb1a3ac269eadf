// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/batchgate/batchgate/test/framework"
	"github.com/batchgate/batchgate/test/node"
)

// nodeInstructions is a format for the directory of the logs, the process ID of the node's PID 1, the
// variables of a shell, the directory of the release, the URL of etcd, and the file with etcd's CA.
const nodeInstructions = `
A cluster with a real node is running. Its logs are in %[1]s. To get a shell
in its network, run in another terminal:

  nsenter --target %[2]d --net env %[3]s bash

Batchgate's image is on the node. To install Batchgate, follow docs/tasks/install.md. Run its
commands in %[4]s, with the etcd URL %[5]s
and the etcd CA %[6]s.

Ctrl-C stops everything and deletes the data.
`

// runNode runs a cluster with a real node until ctx is canceled.
func runNode(ctx context.Context) (err error) {
	if err := node.CheckMachine(ctx); err != nil {
		return err
	}
	root, err := framework.Root()
	if err != nil {
		return err
	}
	release := filepath.Join(root, "_output", "release-test")
	archives, err := filepath.Glob(filepath.Join(release, "batchgate-apiserver_*_oci.tar"))
	if err != nil || len(archives) != 1 {
		return errors.Join(err, fmt.Errorf("want one image in %s, found %d; run make dev-cluster NODE=real", release, len(archives)))
	}
	programs, err := node.BuildPrograms(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "batchgate-devcluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	images, err := programs.WriteImages(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "Starting the node ...")
	cluster, err := node.Start(ctx, node.Options{Dir: filepath.Join(dir, "cluster"), Programs: programs})
	defer func() {
		fmt.Fprintln(os.Stderr, "Stopping ...")
		err = errors.Join(err, cluster.Stop())
	}()
	if err != nil {
		return err
	}
	first := cluster.Nodes[0]
	if err := first.ImportImages(ctx, append(images, archives...)...); err != nil {
		return err
	}
	shell := []string{"KUBECONFIG=" + cluster.Kubeconfig, "PATH=" + programs.Path()}
	fmt.Printf(nodeInstructions, filepath.Dir(first.LogFile("kubelet")), first.PID(), strings.Join(shell, " "), release, node.EtcdURL, cluster.EtcdCAFile())
	<-ctx.Done()
	return nil
}
