// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command batchgate-apiserver serves batch/v1 with gated updates of Jobs.
package main

import (
	"os"
	_ "time/tzdata" // for timeZone of CronJobs, because the image has no time zone database

	_ "golang.org/x/crypto/x509roots/fallback" // for webhooks without a CA bundle, because the image has no CAs
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"

	"github.com/batchgate/batchgate/cmd/batchgate-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewCommand(genericapiserver.SetupSignalContext())))
}
