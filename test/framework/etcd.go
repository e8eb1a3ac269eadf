package framework

import (
	"fmt"
	"path/filepath"
	"strings"
)

// EtcdMember is one member of the cluster's etcd, a process with a log and data of its own.
type EtcdMember struct {
	*Process

	// URL is where it serves clients.
	URL string

	peerURL string
}

// newEtcd chooses ports for as many members as the features ask for.
func (c *Cluster) newEtcd() error {
	for i := range max(1, c.features.EtcdMembers) {
		client, err := freePort()
		if err != nil {
			return err
		}
		peer, err := freePort()
		if err != nil {
			return err
		}
		name := "etcd"
		if i > 0 {
			name = fmt.Sprintf("etcd-%d", i+1)
		}
		c.EtcdMembers = append(c.EtcdMembers, &EtcdMember{
			Process: c.process(name, c.tool("etcd"), nil),
			URL:     fmt.Sprintf("http://127.0.0.1:%d", client),
			peerURL: fmt.Sprintf("http://127.0.0.1:%d", peer),
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
		}, c.features.EtcdArgs...)
	}
	c.Etcd = c.EtcdMembers[0].Process
	return nil
}

func (c *Cluster) startEtcd() error {
	for _, m := range c.EtcdMembers {
		if err := m.Start(); err != nil {
			return err
		}
	}
	return nil
}

// EtcdURL is where the first member of etcd serves clients.
func (c *Cluster) EtcdURL() string { return c.EtcdMembers[0].URL }

// EtcdURLs is where all of them do.
func (c *Cluster) EtcdURLs() []string {
	var urls []string
	for _, m := range c.EtcdMembers {
		urls = append(urls, m.URL)
	}
	return urls
}

// etcdServers is the flag of those who store in etcd.
func (c *Cluster) etcdServers() string { return "--etcd-servers=" + strings.Join(c.EtcdURLs(), ",") }
