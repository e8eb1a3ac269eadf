// Package certificates makes and renews the certificates of Batchgate in a cluster that has no
// cert-manager, and keeps them in Secrets. It may be imported by the kubectl plugin only.
//
// The order of its steps is what keeps a change of the CA from interrupting anything. Whoever
// verifies a certificate trusts the new CA before there is a certificate of it, and the old CA
// until no certificate of it is in use:
//
//  1. the CA, in a Secret of its own, with those before it
//  2. the caBundle of the APIServices: what they have, and these CAs
//  3. the serving certificate, by the newest CA
//  4. when it is run again, and all replicas show a certificate by the newest CA: the others
//     are taken out of the APIServices and of the Secrets
//
// Each run looks at what is there and goes on from that, wherever the last one ended.
package certificates
