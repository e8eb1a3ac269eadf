// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

// UseControlPlane makes kube-apiserver, kube-controller-manager and kube-scheduler run the programs
// of another version from their next start on.
func (c *Cluster) UseControlPlane(b Binaries) {
	c.binaries.ControlPlane = b.ControlPlane
	for _, s := range c.APIServers {
		s.binary = c.toolPath("kube-apiserver")
	}
	c.ControllerManager.binary = c.toolPath("kube-controller-manager")
	c.Scheduler.binary = c.toolPath("kube-scheduler")
}

// EmulateKubernetes makes replicas of Batchgate that start from now on emulate the version of b.
func (c *Cluster) EmulateKubernetes(b Binaries) { c.binaries.Kubernetes = b.Kubernetes }
