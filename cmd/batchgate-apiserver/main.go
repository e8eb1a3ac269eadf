// Command batchgate-apiserver serves batch/v1 with gated updates of Jobs.
package main

import (
	"os"
	_ "time/tzdata" // timeZone of CronJobs, as in kube-apiserver: an image may have no zones

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"

	"github.com/batchgate/batchgate/cmd/batchgate-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewCommand(genericapiserver.SetupSignalContext())))
}
