// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// MainOptions configures Main. Every field is optional.
type MainOptions struct {
	// Parallel is the number of parallel tests unless -parallel is set. Tests spend most of
	// their time waiting for a control plane, so this may exceed the number of cores.
	Parallel int
	// Binaries receives the programs, which Main builds first.
	Binaries *Binaries
	// Cluster receives a control plane that all tests share. Main starts it before Setup and
	// stops it after Finish.
	Cluster **Cluster
	// ClusterOptions configures the Cluster.
	ClusterOptions ClusterOptions
	// Setup runs before the tests. Main deletes the directory at the end.
	Setup func(ctx context.Context, directory string) error
	// Finish runs after the tests, whether or not they passed. Its error fails the suite.
	// It does not run if Setup failed.
	Finish func() error
}

// Main runs the tests of a package and exits. Call it from TestMain.
func Main(m *testing.M, o MainOptions) {
	flag.Parse()
	code, err := o.run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

func (o MainOptions) run(m *testing.M) (code int, err error) {
	if err := setParallel(o.Parallel); err != nil {
		return 1, err
	}
	directory, err := os.MkdirTemp("", "batchgate-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(directory)
	ctx := context.Background()
	if o.Binaries == nil && o.Cluster != nil {
		o.Binaries = &Binaries{}
	}
	if o.Binaries != nil {
		if *o.Binaries, err = Build(ctx, directory); err != nil {
			return 1, err
		}
	}
	if o.Cluster != nil {
		*o.Cluster, err = StartCluster(ctx, directory, *o.Binaries, o.ClusterOptions)
		defer func() {
			if stopErr := (*o.Cluster).Stop(); err == nil {
				err = stopErr
			}
			if code != 0 || err != nil {
				fmt.Fprint(os.Stderr, (*o.Cluster).LogTails())
			}
		}()
		if err != nil {
			return 1, err
		}
	}
	if o.Setup != nil {
		if err := o.Setup(ctx, directory); err != nil {
			return 1, err
		}
	}
	code = m.Run()
	if o.Finish != nil {
		err = o.Finish()
	}
	return code, err
}

// setParallel sets -parallel to n unless it is set on the command line or n is 0.
func setParallel(n int) error {
	set := n == 0
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if set {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(n))
}

// StartTestCluster starts a control plane for one test and stops it when the test ends. It may
// be called from any goroutine of the test.
func StartTestCluster(t testing.TB, binaries Binaries, options ClusterOptions) (*Cluster, error) {
	cluster, err := StartCluster(t.Context(), t.TempDir(), binaries, options)
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(cluster.LogTails())
		}
	})
	return cluster, err
}
