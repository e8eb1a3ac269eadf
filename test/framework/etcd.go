// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"fmt"
	"path/filepath"
	"strings"
)

// EtcdMember is one member of the cluster's etcd.
type EtcdMember struct {
	*Process

	// URL is the client URL.
	URL string

	peerURL string
}

// newEtcd prepares the members without starting them.
func (c *Cluster) newEtcd() error {
	for i := range max(1, c.options.EtcdMembers) {
		client, err := FreePort()
		if err != nil {
			return err
		}
		peer, err := FreePort()
		if err != nil {
			return err
		}
		name := "etcd"
		if i > 0 {
			name = fmt.Sprintf("etcd-%d", i+1)
		}
		c.EtcdMembers = append(c.EtcdMembers, &EtcdMember{
			Process: c.process(name, c.toolPath("etcd"), nil),
			URL:     "http://" + loopback(client),
			peerURL: "http://" + loopback(peer),
		})
	}
	var initial []string
	for _, m := range c.EtcdMembers {
		initial = append(initial, m.Name+"="+m.peerURL)
	}
	for _, m := range c.EtcdMembers {
		m.args = append([]string{
			"--name=" + m.Name,
			"--data-dir=" + filepath.Join(c.Dir, m.Name),
			"--listen-client-urls=" + m.URL,
			"--advertise-client-urls=" + m.URL,
			"--listen-peer-urls=" + m.peerURL,
			"--initial-advertise-peer-urls=" + m.peerURL,
			"--initial-cluster=" + strings.Join(initial, ","),
			"--unsafe-no-fsync",
			"--log-level=warn",
		}, c.options.EtcdArgs...)
	}
	c.Etcd = c.EtcdMembers[0].Process
	return nil
}

// EtcdURL returns the client URL of the first etcd member.
func (c *Cluster) EtcdURL() string { return c.EtcdMembers[0].URL }

// EtcdURLs returns the client URLs of all etcd members.
func (c *Cluster) EtcdURLs() []string {
	var urls []string
	for _, m := range c.EtcdMembers {
		urls = append(urls, m.URL)
	}
	return urls
}

// etcdServersArg returns the argument of servers that store their data in etcd.
func (c *Cluster) etcdServersArg() string { return "--etcd-servers=" + strings.Join(c.EtcdURLs(), ",") }
