// Command cluster runs a Kubernetes control plane on this machine, with fake nodes and
// with v1.batch taken over by Batchgate, until it is interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/batchgate/batchgate/test/framework"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	// An interrupted start is no error.
	if err := run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "batchgate-cluster-")
	if err != nil {
		return err
	}
	// The logs of a cluster that failed by itself stay.
	defer func() {
		if err == nil || ctx.Err() != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	binaries, err := framework.Build(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok ...")
	c, err := framework.StartCluster(ctx, dir, binaries, framework.Features{})
	defer func() {
		fmt.Fprintln(os.Stderr, "stopping ...")
		err = errors.Join(err, c.Stop())
	}()
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "installing Batchgate and pointing v1.batch at it ...")
	if err := c.Install(ctx); err != nil {
		return err
	}
	if err := c.TakeOver(ctx); err != nil {
		return err
	}
	direct, err := url.Parse(c.DirectConfig().Host)
	if err != nil {
		return err
	}
	fmt.Printf(`
A control plane is running, with v1.batch taken over. Its logs are in %[1]s.
In another terminal:

  export KUBECONFIG=%[2]s PATH=%[3]s:$PATH
  kubectl create job pi --image=perl
  kubectl patch job pi --type=merge -p '{"spec":{"parallelism":3}}'      # allowed
  kubectl annotate job pi key=value                                      # refused
  kubectl get apiservice v1.batch

To give batch/v1 back to kube-apiserver, by hand or by the plugin of make build:

  kubectl patch apiservice v1.batch --type=merge --patch-file artifacts/apiservice/rollback/patch.yaml
  kubectl delete apiservice v1.batch && sleep 2 && kubectl create -f artifacts/apiservice/rollback/apiservice.yaml
  _output/kubectl-batchgate rollback

To take it over again:

  _output/kubectl-batchgate takeover --batchgate-server=%[4]s --service-port=%[5]s

Ctrl-C stops everything and removes its data.
`, c.Dir, c.Kubeconfig, binaries.Tools, direct.Host, direct.Port())
	<-ctx.Done()
	return nil
}
