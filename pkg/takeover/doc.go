// Package takeover gives the APIService v1.batch to Batchgate and back to kube-apiserver. It
// looks before it changes anything, changes one object in one request, looks again, and takes
// the change back where what it sees is not what was there before.
//
// Each step is idempotent. The cluster is reached by client-go only; no other package of this
// module is needed, nor may one import this package but pkg/certificates and the kubectl plugin.
package takeover
