// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"strings"
)

const (
	serviceCIDR = "10.96.0.0/16"
	podsCIDR    = "10.244.0.0/16"
	// dnsIP is the address of the Service of the cluster's DNS.
	dnsIP = "10.96.0.10"
	// PauseImage is the image of the container that holds the namespaces of a Pod.
	PauseImage = "docker.io/library/pause:1"
)

// containerd 1 and 2 both read version 2 of the format.
const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + PauseImage + `"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "` + cniDir + `"
  conf_dir = "/etc/cni/net.d"
`

const cniConfig = `{
  "cniVersion": "1.0.0",
  "name": "node",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
      "ipam": {"type": "host-local", "ranges": [[{"subnet": "{{POD_CIDR}}"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
staticPodPath: /etc/kubernetes/manifests
clusterDNS: [` + dnsIP + `]
clusterDomain: cluster.local
resolvConf: ""
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: {{PKI}}/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: {{PKI}}/{{NODE}}.crt
tlsPrivateKeyFile: {{PKI}}/{{NODE}}.key
failSwapOn: false
# The disk is this machine's, and may be full for other reasons.
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
`

// Zero values leave the conntrack settings of the machine unchanged.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: {{PKI}}/proxy.kubeconfig}
clusterCIDR: ` + podsCIDR + `
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`

// writeConfig writes the configuration files of the node's services to its disk.
func (n *Node) writeConfig() error {
	fill := strings.NewReplacer("{{PKI}}", n.cluster.pki.dir, "{{NODE}}", n.Name, "{{POD_CIDR}}", n.podCIDR())
	for name, content := range map[string]string{
		"containerd.toml":                containerdConfig,
		"etc/cni/net.d/10-node.conflist": cniConfig,
		"kubelet.yaml":                   kubeletConfig,
		"kube-proxy.yaml":                proxyConfig,
		"etc/kubernetes/pki/etcd/ca.crt": string(n.cluster.pki.etcdCA.CertPEM),
	} {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(fill.Replace(content)), 0o644); err != nil {
			return err
		}
	}
	return nil
}
