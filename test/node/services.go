// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// services returns the services of the node in the order in which they start.
func (n *Node) services() []service {
	kubernetesNode := []service{
		{"containerd", []string{"containerd", "--config=" + filepath.Join(n.dir, "containerd.toml")}},
		{"kubelet", []string{
			"kubelet",
			"--kubeconfig=" + n.cluster.pki.path(n.Name+".kubeconfig"),
			"--config=" + filepath.Join(n.dir, "kubelet.yaml"),
			"--hostname-override=" + n.Name,
			"--node-ip=" + n.IP,
			"-v=2",
		}},
		{"kube-proxy", []string{"kube-proxy", "--config=" + filepath.Join(n.dir, "kube-proxy.yaml"), "--hostname-override=" + n.Name}},
	}
	if n.index > 0 {
		return kubernetesNode
	}
	return append(n.cluster.controlPlane(n.dir), kubernetesNode...)
}

// controlPlane returns the services of the control plane, which keep their data in a directory.
func (c *Cluster) controlPlane(directory string) []service {
	all := []service{{"etcd", c.etcd(filepath.Join(directory, "etcd"), EtcdURL, 2380, "etcd-ca.crt")}}
	if c.options.BatchEtcd {
		all = append(all, service{"batch-etcd", c.etcd(filepath.Join(directory, "batch-etcd"), BatchEtcdURL, 2480, "batch-etcd-trusted.crt")})
	}
	all = append(all, service{"kube-apiserver", c.apiServer(controlPlaneIP)})
	if c.options.APIServers > 1 {
		all = append(all, service{"kube-apiserver-2", c.apiServer(secondAPIServerIP)})
	}
	controllers := c.pki.path("controller-manager.kubeconfig")
	scheduler := c.pki.path("scheduler.kubeconfig")
	return append(all,
		service{"kube-controller-manager", []string{
			"kube-controller-manager",
			"--kubeconfig=" + controllers, "--authentication-kubeconfig=" + controllers, "--authorization-kubeconfig=" + controllers,
			"--bind-address=127.0.0.1",
			"--use-service-account-credentials=true",
			"--service-account-private-key-file=" + c.pki.path("ca.key"),
			"--root-ca-file=" + c.pki.path("ca.crt"),
			"-v=2",
		}},
		service{"kube-scheduler", []string{
			"kube-scheduler",
			"--kubeconfig=" + scheduler, "--authentication-kubeconfig=" + scheduler, "--authorization-kubeconfig=" + scheduler,
			"--bind-address=127.0.0.1",
		}},
	)
}

// etcd returns the command of an etcd that trusts the client certificates of the CAs in a file.
func (c *Cluster) etcd(data, clientURL string, peerPort int, trusted string) []string {
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", peerPort)
	return []string{
		"etcd", "--name=default", "--data-dir=" + data,
		"--listen-client-urls=" + clientURL + "," + strings.Replace(clientURL, controlPlaneIP, "127.0.0.1", 1), "--advertise-client-urls=" + clientURL,
		"--listen-peer-urls=" + peerURL, "--initial-advertise-peer-urls=" + peerURL, "--initial-cluster=default=" + peerURL,
		"--client-cert-auth", "--trusted-ca-file=" + c.pki.path(trusted),
		"--cert-file=" + c.pki.path("etcd.crt"), "--key-file=" + c.pki.path("etcd.key"),
	}
}

// apiServer returns the command of a kube-apiserver, with the defaults of kubeadm.
func (c *Cluster) apiServer(ip string) []string {
	var overrides []string
	if c.options.BatchEtcd {
		overrides = []string{"--etcd-servers-overrides=batch/jobs#" + BatchEtcdURL + ",batch/cronjobs#" + BatchEtcdURL}
	}
	return slices.Concat([]string{
		"kube-apiserver",
		"--bind-address=" + ip, "--advertise-address=" + ip, "--secure-port=6443",
		"--etcd-servers=https://127.0.0.1:2379", "--etcd-cafile=" + c.pki.path("etcd-ca.crt"),
		"--etcd-certfile=" + c.pki.path("apiserver-etcd-client.crt"), "--etcd-keyfile=" + c.pki.path("apiserver-etcd-client.key"),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--tls-cert-file=" + c.pki.path("apiserver.crt"), "--tls-private-key-file=" + c.pki.path("apiserver.key"),
		"--client-ca-file=" + c.pki.path("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.pki.path("ca.key"), "--service-account-signing-key-file=" + c.pki.path("ca.key"),
		"--kubelet-client-certificate=" + c.pki.path("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + c.pki.path("apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority=" + c.pki.path("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + c.pki.path("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.pki.path("front-proxy-client.crt"), "--proxy-client-key-file=" + c.pki.path("front-proxy-client.key"),
	}, overrides, c.options.APIServerArgs)
}
