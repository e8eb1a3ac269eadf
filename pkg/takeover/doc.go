// Package takeover gives the APIService v1.batch to Batchgate and back to kube-apiserver. It
// looks before it changes anything, changes one object in one request, looks again, and takes
// the change back where what it sees is not what was there before.
//
// Where Batchgate has an etcd of its own, Import and Export also move Jobs and CronJobs between
// the two, past every API server, while a ValidatingAdmissionPolicy refuses writes.
//
// Each step is idempotent. The cluster is reached by client-go only, and etcd by its own client;
// no other package of this module is needed, nor may one import this package but
// pkg/certificates and the kubectl plugin.
package takeover
