// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
)

// addReadyHook makes the server call ready once /readyz succeeds.
func addReadyHook(server *genericapiserver.GenericAPIServer, ready func()) error {
	return server.AddPostStartHook("batchgate-announce-ready", func(hook genericapiserver.PostStartHookContext) error {
		client, err := kubernetes.NewForConfig(hook.LoopbackClientConfig)
		if err != nil {
			return err
		}
		go func() {
			err := wait.PollUntilContextCancel(hook, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
				return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
			})
			if err == nil {
				ready()
			}
		}()
		return nil
	})
}

// printBanner prints commands to try with a standalone server.
func printBanner(w io.Writer, url, kubeconfig string) {
	fmt.Fprintf(w, `
Batchgate serves batch/v1 at %[1]s. Try in another terminal:

  export KUBECONFIG=%[2]s
  kubectl create job pi --image=perl -- perl -Mbignum=bpi -wle 'print bpi(100)'
  kubectl patch job pi --type=merge -p '{"spec":{"parallelism":3}}'      # allowed
  kubectl patch job pi --type=merge -p '{"spec":{"backoffLimit":1}}'     # denied
  kubectl get jobs

Press Ctrl-C to stop the server. The Jobs stay in the directory.

`, url, kubeconfig)
}
