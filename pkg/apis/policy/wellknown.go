// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

// The names below are contracts: between batchgate-apiserver, the kubectl plugin and the
// manifests in artifacts, or with users who read audit logs. Renaming one breaks installed
// clusters. Tests spell them out, so that they fail if one is renamed.

// Keys of the audit annotations of an update of a Job.
const (
	// AuditDecision is the decision of the gate: allow, warn or deny.
	AuditDecision = GroupName + "/decision"
	// AuditDeniedPaths lists the changed paths that no policy grants.
	AuditDeniedPaths = GroupName + "/denied-paths"
	// AuditWarnedPaths lists the changed paths that only policies with the action Warn grant.
	AuditWarnedPaths = GroupName + "/warned-paths"
	// AuditJobLabels has the labels of the Job before a denied or warned update, as a JSON object
	// without the labels that Kubernetes generates. It is missing if they are longer than 4 KiB.
	AuditJobLabels = GroupName + "/job-labels"
	// AuditGrantedBy lists the policies that grant changed paths.
	AuditGrantedBy = GroupName + "/granted-by"
)

// Labels and annotations of JobUpdatePolicies.
const (
	// BootstrapLabel marks the policies that every server creates.
	BootstrapLabel = GroupName + "/bootstrapping"
	// AutoUpdateAnnotation set to "false" keeps the server from restoring a bootstrap policy.
	AutoUpdateAnnotation = GroupName + "/autoupdate"
)

// Labels and annotations of other objects.
const (
	// EtcdAnnotation of APIService v1.batch is set while Jobs and CronJobs are, or are about to
	// be, stored in a dedicated etcd. Its value is EtcdDedicated or EtcdImporting.
	EtcdAnnotation = "batchgate.io/etcd"
	// EtcdDedicated means that the objects in the dedicated etcd are authoritative.
	EtcdDedicated = "dedicated"
	// EtcdImporting means that an import has started and the objects that kube-apiserver
	// stores are still authoritative.
	EtcdImporting = "importing"
	// FreezeAnnotation of APIService v1.batch is set together with EtcdImporting. Its value is the UIDs
	// of the policy and the binding that deny writes during the import.
	FreezeAnnotation = "batchgate.io/freeze"

	// EnforcedByLabel of a ValidatingAdmissionPolicyBinding names the only server that enforces
	// it. Batchgate ignores bindings with the value EnforcedByKubeAPIServer.
	EnforcedByLabel = "batchgate.io/enforced-by"
	// EnforcedByKubeAPIServer is the value of EnforcedByLabel for kube-apiserver.
	EnforcedByKubeAPIServer = "kube-apiserver"

	// CanaryLabel marks the Job and the CronJob that the kubectl plugin creates before a takeover
	// and deletes again.
	CanaryLabel = "batchgate.io/canary"

	// ManagedByLabel of a Secret is set to PluginFieldManager on Secrets that the kubectl plugin
	// created. The plugin writes no other Secrets.
	ManagedByLabel = "app.kubernetes.io/managed-by"

	// AutoManagedLabel of an APIService makes kube-apiserver reset the object when it starts, if
	// the value is AutoManagedOnStart. kube-aggregator defines both.
	AutoManagedLabel = "kube-aggregator.kubernetes.io/automanaged"
	// AutoManagedOnStart is the value of AutoManagedLabel of APIService v1.batch while
	// kube-apiserver serves it.
	AutoManagedOnStart = "onstart"
	// CertManagerInjectAnnotation and CertManagerInjectSecretAnnotation of an APIService make
	// cert-manager write the APIService's CA bundle.
	CertManagerInjectAnnotation       = "cert-manager.io/inject-ca-from"
	CertManagerInjectSecretAnnotation = "cert-manager.io/inject-ca-from-secret"
	// CertManagerCertificateAnnotation is set on Secrets that cert-manager writes.
	CertManagerCertificateAnnotation = "cert-manager.io/certificate-name"
)

// VersionHeader is a header of the responses of batchgate-apiserver, also through kube-apiserver. Its
// value is the version of the server. Responses of kube-apiserver itself do not have it.
const VersionHeader = "Batchgate-Version"

// Names that an import to a dedicated etcd and the rollback from it use.
const (
	// FreezeName is the name of the ValidatingAdmissionPolicy and its binding that deny all
	// writes of Jobs and CronJobs on both servers while the objects are moved.
	FreezeName = "batchgate-freeze"
	// GuardName is the name of the ValidatingAdmissionPolicy and its binding that deny these
	// writes on kube-apiserver only, as long as the objects are in the dedicated etcd.
	GuardName = "batchgate-guard"
	// OperationAnnotation of the freeze's binding identifies the operation that created it. The plugin
	// also adds it to APIService v1.batch and removes it again, and sets it on the guard's binding, only to
	// change the resource version.
	OperationAnnotation = "batchgate.io/operation"
	// MarkerKey is the etcd key whose value names the cluster that the Jobs in a dedicated etcd
	// belong to, and the state of their import.
	MarkerKey = "/batchgate.io/import"
)

// Names of objects in artifacts.
const (
	// Namespace is the default namespace of Batchgate.
	Namespace = "batchgate-system"
	// ServiceName is the default name of Batchgate's Service.
	ServiceName = "batchgate-apiserver"
	// BatchAPIService is the APIService that determines which server serves batch/v1.
	BatchAPIService = "v1.batch"
	// NativeBatchDocument is the name of an OpenAPI v3 document that kube-apiserver lists only if its own
	// batch/v1 is enabled, whichever server APIService v1.batch points to. Batchgate never adds it to
	// kube-apiserver's list.
	NativeBatchDocument = "apis/batch"
	// PolicyAPIService is the APIService of the JobUpdatePolicies.
	PolicyAPIService = "v1alpha1." + GroupName

	// ServingSecret holds the serving certificate.
	ServingSecret = "batchgate-serving"
	// ServingCASecret holds the CA of the serving certificate, including its private key.
	ServingCASecret = "batchgate-ca"
	// EtcdName is the name of the StatefulSet and the Service of the dedicated etcd.
	EtcdName = "batchgate-etcd"
	// EtcdCASecret holds the CA of the dedicated etcd, including its private key.
	EtcdCASecret = "batchgate-etcd-ca"
	// EtcdMemberSecret holds the certificate of the members of the dedicated etcd.
	EtcdMemberSecret = "batchgate-etcd-member"
	// EtcdClientSecret holds the client certificate for the dedicated etcd.
	EtcdClientSecret = "batchgate-etcd-client"
	// SecretCAKey is the key of the trusted CA certificates in each of these Secrets.
	SecretCAKey = "ca.crt"
)

const (
	// DefaultEtcdPrefix is the default --etcd-prefix of kube-apiserver. Both servers must use
	// the same prefix to see the same Jobs.
	DefaultEtcdPrefix = "/registry"
	// PluginFieldManager is the field manager of the kubectl plugin and its value of
	// ManagedByLabel.
	PluginFieldManager = "kubectl-batchgate"
)

// MemoryLimitShare is the share of the container's memory limit that Go may use in the server. The kernel
// also counts the pages of the executable, about 70 MiB, and the buffers of connections.
const MemoryLimitShare = 0.8
