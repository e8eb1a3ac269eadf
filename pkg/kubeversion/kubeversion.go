// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubeversion compares the Kubernetes versions of API servers. A server behaves like the
// minor version that it emulates, which may be older than its own (--emulated-version).
package kubeversion

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
)

// Emulated returns the major and minor version that a server emulates, from its /version.
func Emulated(info apimachineryversion.Info) (*version.Version, error) {
	text := info.EmulationMajor + "." + strings.TrimRight(info.EmulationMinor, "+") // some distributions add a plus sign
	if info.EmulationMajor == "" {
		text = info.GitVersion // older servers do not report what they emulate
	}
	v, err := version.ParseGeneric(text)
	if err != nil {
		return nil, fmt.Errorf("parsing the version that the server emulates: %w", err)
	}
	return version.MajorMinor(v.Major(), v.Minor()), nil
}

// Skew returns the number of minor versions by which a is newer than b. It is negative if a is
// older. It expects the same major version in both.
func Skew(a, b *version.Version) int {
	return int(a.Minor()) - int(b.Minor())
}
