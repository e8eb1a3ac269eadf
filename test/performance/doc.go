// Command benchmark measures Batchgate beside what it is an alternative to: kube-apiserver
// without a gate, with a ValidatingAdmissionPolicy, and with a validating webhook. All of
// them share one machine and one etcd, take turns within each round, and are compared by
// ratios: figures of one run mean nothing beside those of another.
//
// Nothing else uses the control plane meanwhile: controllers, scheduler and fake nodes are
// stopped, and Batchgate hangs while it is not its turn.
package main
