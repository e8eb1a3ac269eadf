// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"strings"
	"testing"

	apimachineryversion "k8s.io/apimachinery/pkg/version"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
)

func TestCompareVersions(t *testing.T) {
	info := func(git, minor string) apimachineryversion.Info {
		return apimachineryversion.Info{GitVersion: git, EmulationMajor: "1", EmulationMinor: minor}
	}
	for name, tc := range map[string]struct {
		kube, batchgate apimachineryversion.Info
		want            string // part of the error
	}{
		"same minor":              {info("v1.37.1", "37"), info("v1.37.2+batchgate.v0.1.0", "37"), ""},
		"emulated":                {info("v1.36.3", "36"), info("v1.37.2+batchgate.v0.1.0", "36"), ""},
		"both emulate":            {info("v1.37.2", "36"), info("v1.37.2+batchgate.v0.1.0", "36"), ""},
		"oldest supported":        {info("v1.35.4", "35"), info("v1.37.2+batchgate.v0.1.0", "37"), "the cluster is Kubernetes 1.35 and Batchgate emulates 1.37: set --emulated-version=1.35 on Batchgate"},
		"too old":                 {info("v1.34.4", "34"), info("v1.37.2+batchgate.v0.1.0", "37"), "install the Batchgate release for Kubernetes 1.34"},
		"cluster upgraded":        {info("v1.37.2", "37"), info("v1.37.2+batchgate.v0.1.0", "36"), "set --emulated-version=1.37 on Batchgate"},
		"newer than the binary":   {info("v1.38.0", "38"), info("v1.37.2+batchgate.v0.1.0", "37"), "install the Batchgate release for Kubernetes 1.38"},
		"without emulation (old)": {apimachineryversion.Info{GitVersion: "v1.33.1"}, info("v1.37.2+batchgate.v0.1.0", "37"), "install the Batchgate release for Kubernetes 1.33"},
	} {
		t.Run(name, func(t *testing.T) {
			c := fake.New(fake.NewMemory(1), fake.NewMemory(1))
			c.KubeAPIServer.SetVersionInfo(tc.kube)
			c.Batchgate.SetVersionInfo(tc.batchgate)
			kube, err := cluster.ReadVersion(c.KubeAPIServer)
			if err != nil {
				t.Fatal(err)
			}
			batchgate, err := cluster.ReadVersion(c.Batchgate)
			if err != nil {
				t.Fatal(err)
			}
			err = cluster.CompareVersions(kube, batchgate)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestVersion_String(t *testing.T) {
	for want, info := range map[string]apimachineryversion.Info{
		"v1.37.2":                 {GitVersion: "v1.37.2", EmulationMajor: "1", EmulationMinor: "37"},
		"v1.37.2 (emulates 1.36)": {GitVersion: "v1.37.2", EmulationMajor: "1", EmulationMinor: "36"},
		"v1.33.1":                 {GitVersion: "v1.33.1"},
	} {
		c := fake.New(fake.NewMemory(1), fake.NewMemory(1))
		c.KubeAPIServer.SetVersionInfo(info)
		if got, err := cluster.ReadVersion(c.KubeAPIServer); err != nil || got.String() != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}
