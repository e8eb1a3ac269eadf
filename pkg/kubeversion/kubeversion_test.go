// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeversion

import (
	"testing"

	apimachineryversion "k8s.io/apimachinery/pkg/version"
)

func TestEmulated(t *testing.T) {
	for name, tc := range map[string]struct {
		info apimachineryversion.Info
		want string // empty for an error
		skew int    // to 1.36
	}{
		"same":              {apimachineryversion.Info{GitVersion: "v1.37.2", EmulationMajor: "1", EmulationMinor: "37"}, "1.37", 1},
		"older":             {apimachineryversion.Info{GitVersion: "v1.37.2", EmulationMajor: "1", EmulationMinor: "35"}, "1.35", -1},
		"before 1.34":       {apimachineryversion.Info{GitVersion: "v1.30.1-eks-1", Minor: "30+"}, "1.30", -6},
		"vendor suffix":     {apimachineryversion.Info{GitVersion: "v1.36.3-gke.1", EmulationMajor: "1", EmulationMinor: "36+"}, "1.36", 0},
		"without a version": {apimachineryversion.Info{GitVersion: "unknown"}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Emulated(tc.info)
			if tc.want == "" {
				if err == nil {
					t.Fatalf("got %s, want an error", got)
				}
				return
			}
			if err != nil || got.String() != tc.want {
				t.Fatalf("got %s, %v, want %s", got, err, tc.want)
			}
			base, err := Emulated(apimachineryversion.Info{GitVersion: "v1.36.0"})
			if err != nil {
				t.Fatal(err)
			}
			if skew := Skew(got, base); skew != tc.skew {
				t.Errorf("skew is %d, want %d", skew, tc.skew)
			}
		})
	}
}
