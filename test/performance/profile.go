package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
)

// profileBatchgate writes to a file a CPU profile of Batchgate under what it is asked most often: patches,
// creates, gets and lists, straight and through kube-apiserver; or under those of them that are asked for.
func (b *bench) profileBatchgate(ctx context.Context, file string) error {
	progress("profiling Batchgate")
	return b.in(ctx, direct, func() error {
		client, err := kubernetes.NewForConfig(b.cluster.DirectConfig())
		if err != nil {
			return err
		}
		type load struct {
			arm *arm
			operation
		}
		var loads []load
		for _, a := range []*arm{direct, aggregated} {
			for _, op := range b.operations() {
				if b.only.MatchString(a.name + "/" + op.name) {
					loads = append(loads, load{a, op})
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
			if _, err := b.load(ctx, b.config(l.arm, ""), l.operation, 16); err != nil {
				return err
			}
		}
		return <-done
	})
}
