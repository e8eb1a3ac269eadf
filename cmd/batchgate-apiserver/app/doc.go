// Package app implements the commands of batchgate-apiserver: the server, standalone and
// etcd-seed. Only cmd/batchgate-apiserver and tests may import it.
package app
