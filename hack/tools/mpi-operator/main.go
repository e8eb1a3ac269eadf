// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command mpi-operator runs the controller of Kubeflow's MPI Operator. Unlike the operator's own program
// it does not need port 8080, and elects no leader.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"github.com/kubeflow/mpi-operator/cmd/mpi-operator/app/options"
	mpiclientset "github.com/kubeflow/mpi-operator/pkg/client/clientset/versioned"
	mpiinformers "github.com/kubeflow/mpi-operator/pkg/client/informers/externalversions"
	"github.com/kubeflow/mpi-operator/pkg/controller"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	o := options.NewServerOption()
	o.AddFlags(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o *options.ServerOption) error {
	config, err := clientcmd.BuildConfigFromFlags(o.MasterURL, o.Kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	mpiClient, err := mpiclientset.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	mpiFactory := mpiinformers.NewSharedInformerFactory(mpiClient, 0)
	c, err := controller.NewMPIJobController(ctx, client, mpiClient, nil, nil,
		factory.Core().V1().ConfigMaps(),
		factory.Core().V1().Secrets(),
		factory.Core().V1().Services(),
		factory.Batch().V1().Jobs(),
		factory.Core().V1().Pods(),
		factory.Scheduling().V1().PriorityClasses(),
		mpiFactory.Kubeflow().V2beta1().MPIJobs(),
		o)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	mpiFactory.Start(ctx.Done())
	return c.Run(o.Threadiness, ctx.Done())
}
