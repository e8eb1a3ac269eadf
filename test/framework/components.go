// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"fmt"
	"path/filepath"
)

func (c *Cluster) apiServerArgs(port int) []string {
	return []string{
		c.etcdServersArg(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		// Loopback addresses are not allowed here, so use an address reserved for
		// documentation and do not publish it.
		"--advertise-address=192.0.2.1",
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.0.0.0/24",
		// Ends watches at shutdown, which otherwise takes a minute.
		"--shutdown-send-retry-after=true",
		"--authorization-mode=RBAC",
		"--runtime-config=" + c.options.RuntimeConfig,
		"--allow-privileged=true",
		"--tls-cert-file=" + c.pki.path("apiserver.crt"),
		"--tls-private-key-file=" + c.pki.path("apiserver.key"),
		"--client-ca-file=" + c.pki.path("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.pki.path("ca.key"),
		"--service-account-signing-key-file=" + c.pki.path("ca.key"),
		"--requestheader-client-ca-file=" + c.pki.path("front-proxy-ca.crt"),
		"--requestheader-allowed-names=" + frontProxyName,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-uid-headers=X-Remote-Uid",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.pki.path("front-proxy.crt"),
		"--proxy-client-key-file=" + c.pki.path("front-proxy.key"),
	}
}

func (c *Cluster) controllerManagerArgs() []string {
	return []string{
		"--kubeconfig=" + c.pki.path("controller-manager.kubeconfig"),
		"--authentication-kubeconfig=" + c.pki.path("controller-manager.kubeconfig"),
		"--authorization-kubeconfig=" + c.pki.path("controller-manager.kubeconfig"),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports.controllerManager),
		"--cert-dir=" + filepath.Join(c.Dir, "controller-manager"),
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.pki.path("ca.key"),
		"--root-ca-file=" + c.pki.path("ca.crt"),
		// kwok reports a node as ready only once. After this period without a report, the
		// node and its Pods would become not ready, and kwok would not correct that.
		"--node-monitor-grace-period=24h",
		"-v=2",
	}
}

func (c *Cluster) schedulerArgs() []string {
	return []string{
		"--kubeconfig=" + c.pki.path("scheduler.kubeconfig"),
		"--authentication-kubeconfig=" + c.pki.path("scheduler.kubeconfig"),
		"--authorization-kubeconfig=" + c.pki.path("scheduler.kubeconfig"),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports.scheduler),
		"--leader-elect=false",
	}
}

func (c *Cluster) kwokArgs() []string {
	return []string{
		"--kubeconfig=" + c.Kubeconfig,
		"--config=" + filepath.Join(c.Dir, "stages.yaml"),
		"--manage-all-nodes=true",
		"--node-ip=127.0.0.1",
	}
}
