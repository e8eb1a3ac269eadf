// Package core tests Batchgate in front of a real control plane, with kubectl as the client
// and the RBAC of the manifests. There is one control plane for all tests: those that stop
// parts of it come first, one after the other, and the rest runs in parallel after them.
package core

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

var (
	cluster  *framework.Cluster
	binaries framework.Binaries
)

func TestMain(m *testing.M) {
	framework.Main(m, framework.MainOptions{
		Parallel: 8,
		Binaries: &binaries,
		Cluster:  &cluster,
		Setup:    setup,
		Finish:   func() error { return checkRights(calmSince) },
	})
}

func setup(ctx context.Context, _ string) (err error) {
	if pristine, err = readPristine(ctx); err != nil {
		return err
	}
	if err := cluster.Install(ctx); err != nil {
		return err
	}
	return checkRights(0)
}

// calmSince is where in Batchgate's log the last test has ended that stopped components.
var calmSince int

// checkRights returns an error if Batchgate's log, from a place on, says that it was refused
// anything that it has asked kube-apiserver for: then the manifests give it too few rights. A
// kube-apiserver that has just started knows no rules yet, so what is logged while tests
// restart it does not count.
func checkRights(since int) error {
	content, err := os.ReadFile(cluster.Batchgate.LogFile())
	if err != nil {
		return err
	}
	user := `User "system:serviceaccount:` + framework.Namespace + ":" + framework.Name + `" cannot`
	for line := range strings.Lines(string(content[since:])) {
		if strings.Contains(strings.ReplaceAll(line, `\"`, `"`), user) {
			return fmt.Errorf("a right is missing in artifacts/base/rbac.yaml: %s", line)
		}
	}
	return nil
}
