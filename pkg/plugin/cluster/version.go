// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"

	utilversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/batchgate/batchgate/pkg/kubeversion"
)

// olderMinors is the number of minor versions before its own that Batchgate can emulate.
const olderMinors = 2

// Version is the Kubernetes version of a server.
type Version struct {
	// Git is the full version, such as v1.37.2.
	Git string
	// Emulated is the minor version that the server behaves like.
	Emulated *utilversion.Version
	// own is the minor version of the server's binary.
	own *utilversion.Version
}

// ReadVersion reads the version of a server.
func ReadVersion(s Server) (Version, error) {
	info, err := s.Discovery().ServerVersion()
	if err != nil {
		return Version{}, err
	}
	full, err := utilversion.ParseGeneric(info.GitVersion)
	if err != nil {
		return Version{}, err
	}
	emulated, err := kubeversion.Emulated(*info)
	if err != nil {
		return Version{}, err
	}
	return Version{Git: info.GitVersion, Emulated: emulated, own: utilversion.MajorMinor(full.Major(), full.Minor())}, nil
}

// String returns the full version, and the emulated one if it is another minor version.
func (v Version) String() string {
	if v.Emulated.EqualTo(v.own) {
		return v.Git
	}
	return fmt.Sprintf("%s (emulates %s)", v.Git, v.Emulated)
}

// CompareVersions returns an error that says what to do if Batchgate does not emulate the minor
// version of kube-apiserver.
func CompareVersions(kube, batchgate Version) error {
	if kube.Emulated.EqualTo(batchgate.Emulated) {
		return nil
	}
	remedy := fmt.Sprintf("install the Batchgate release for Kubernetes %s", kube.Emulated)
	if age := kubeversion.Skew(batchgate.own, kube.Emulated); age >= 0 && age <= olderMinors {
		remedy = fmt.Sprintf("set --emulated-version=%s on Batchgate", kube.Emulated)
	}
	return fmt.Errorf("the cluster is Kubernetes %s and Batchgate emulates %s: %s", kube.Emulated, batchgate.Emulated, remedy)
}

// CompareEndpointVersions does what CompareVersions does for each kube-apiserver that Service kubernetes
// lists and that responds. Their versions differ while the control plane is upgraded.
func (c *Cluster) CompareEndpointVersions(ctx context.Context, batchgate Version) error {
	for _, address := range c.findEndpoints(ctx, &endpoints{}).reachable {
		err := c.withConnection(address, func(kube Server) error {
			version, err := ReadVersion(kube)
			if err != nil {
				return fmt.Errorf("reading the version: %w", err)
			}
			return CompareVersions(version, batchgate)
		})
		if err != nil {
			return fmt.Errorf("kube-apiserver at %s: %w", address, err)
		}
	}
	return nil
}
