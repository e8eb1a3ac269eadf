// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

// ClusterOptions changes the components of a Cluster. The zero value keeps the defaults of
// Kubernetes.
type ClusterOptions struct {
	// FeatureGates is passed to all components as --feature-gates, for example "A=true,B=true".
	FeatureGates string
	// RuntimeConfig is the --runtime-config of kube-apiserver.
	RuntimeConfig string
	// APIServers is the number of kube-apiservers, by default 1. If there are several, all clients
	// connect through a load balancer, which sends new connections only to ready ones.
	APIServers int
	// APIServerArgs are additional arguments of each kube-apiserver.
	APIServerArgs []string
	// ControllerManagerArgs are additional arguments of kube-controller-manager.
	ControllerManagerArgs []string
	// BatchgateArgs are additional arguments of Batchgate. They override earlier ones.
	BatchgateArgs []string
	// EtcdMembers is the number of etcd members, by default 1.
	EtcdMembers int
	// EtcdArgs are additional arguments of each etcd member.
	EtcdArgs []string
	// EtcdTLS makes the first etcd member also serve clients with a certificate, at EtcdTLSURL.
	EtcdTLS bool
	// KwokStages replaces stages.yaml, which defines the behavior of the fake kubelet.
	KwokStages []byte
}

// featureGateArgs returns the --feature-gates argument if there are any gates.
func (o ClusterOptions) featureGateArgs() []string {
	if o.FeatureGates == "" {
		return nil
	}
	return []string{"--feature-gates=" + o.FeatureGates}
}
