// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command devcluster runs a Kubernetes control plane with fake nodes on this machine, with
// v1.batch taken over by Batchgate, until it is interrupted. With -real-node it runs a real node
// instead, without Batchgate.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/batchgate/batchgate/test/framework"
	"github.com/batchgate/batchgate/test/node"
)

// instructions is a format for the directory of the cluster, its kubeconfig, the directory of
// the tools, and the URL and port of Batchgate.
const instructions = `
A control plane is running, with v1.batch taken over. Its logs are in %[1]s.
In another terminal:

  export KUBECONFIG=%[2]s PATH=%[3]s:$PATH
  kubectl create job pi --image=perl
  kubectl patch job pi --type=merge -p '{"spec":{"parallelism":3}}'      # allowed
  kubectl annotate job pi key=value                                      # denied
  kubectl get apiservice v1.batch
  _output/kubectl-batchgate status --batchgate-server=%[4]s --service-port=%[5]s   # after make build

To return batch/v1 to kube-apiserver, run the plugin, which make build creates:

  _output/kubectl-batchgate rollback

or, without the plugin:

  kubectl patch apiservice v1.batch --type=merge --patch-file artifacts/apiservice/rollback/patch.yaml
  kubectl delete apiservice v1.batch && sleep 2 && kubectl create -f artifacts/apiservice/rollback/apiservice.yaml

To take it over again:

  _output/kubectl-batchgate takeover --batchgate-server=%[4]s --service-port=%[5]s

Ctrl-C stops everything and deletes the data.
`

func main() {
	node.Main()
	realNode := flag.Bool("real-node", false, "run a real node, without Batchgate")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	start := run
	if *realNode {
		start = runNode
	}
	// An interrupt during the start is not an error.
	if err := start(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "batchgate-devcluster-")
	if err != nil {
		return err
	}
	// Keep the logs if the cluster failed.
	defer func() {
		if err == nil || ctx.Err() != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	binaries, err := framework.Build(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "Starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok ...")
	cluster, err := framework.StartCluster(ctx, dir, binaries, framework.ClusterOptions{})
	defer func() {
		fmt.Fprintln(os.Stderr, "Stopping ...")
		err = errors.Join(err, cluster.Stop())
	}()
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "Installing Batchgate and taking v1.batch over ...")
	if err := cluster.Install(ctx); err != nil {
		return err
	}
	if err := cluster.TakeOver(ctx); err != nil {
		return err
	}
	direct, err := url.Parse(cluster.DirectConfig().Host)
	if err != nil {
		return err
	}
	fmt.Printf(instructions, cluster.Dir, cluster.Kubeconfig, binaries.Tools, direct.Host, direct.Port())
	<-ctx.Done()
	return nil
}
