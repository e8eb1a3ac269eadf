// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
)

// profileBatchgate writes a CPU profile of Batchgate to a file. The load is all operations, directly
// and through kube-apiserver, or those that -run selects.
func (b *bench) profileBatchgate(ctx context.Context, file string) error {
	progress("profiling Batchgate")
	return b.in(ctx, direct, func() error {
		client, err := kubernetes.NewForConfig(b.cluster.DirectConfig())
		if err != nil {
			return err
		}
		type load struct {
			variant *variant
			operation
		}
		var loads []load
		for _, v := range []*variant{direct, aggregated} {
			for _, op := range b.operations() {
				if b.only.MatchString(v.name + "/" + op.name) {
					loads = append(loads, load{v, op})
				}
			}
		}
		each := b.duration + b.warmUp
		done := make(chan error, 1)
		go func() {
			seconds := fmt.Sprint(int(time.Duration(len(loads)) * each / time.Second))
			profile, err := client.Discovery().RESTClient().Get().AbsPath("/debug/pprof/profile").Param("seconds", seconds).Timeout(time.Hour).Do(ctx).Raw()
			if err == nil {
				err = os.WriteFile(file, profile, 0o644)
			}
			done <- err
		}()
		for _, l := range loads {
			if _, err := b.load(ctx, b.config(l.variant, ""), l.operation, 16); err != nil {
				return err
			}
		}
		return <-done
	})
}
