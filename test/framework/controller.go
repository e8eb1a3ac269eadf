// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

// StartController starts a client of the cluster that is not one of its components, for
// example Kueue. Stop stops it before all components.
func (c *Cluster) StartController(name, binary string, args ...string) (*Process, error) {
	p := c.process(name, binary, args)
	c.controllers = append(c.controllers, p)
	return p, p.Start()
}
