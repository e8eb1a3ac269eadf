// Package framework runs a Kubernetes control plane on this machine: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, kwok as the kubelet of fake nodes, and Batchgate
// in front of v1.batch. Nothing is mocked: the binaries are those of hack/build-tools.sh
// and hack/build.sh, and the RBAC is that of artifacts/base.
//
// A Cluster listens on free ports of the loopback interface, keeps all it writes in one
// directory, and leaves no process behind, whatever ends the one that started it.
package framework
