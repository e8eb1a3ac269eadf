// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package embeddedetcd runs a single-member etcd in this process, for servers on one machine. It
// also prepares the data directory of a new member of a dedicated etcd, see Seed.
//
// It is the only package that may import etcd's server and etcdutl. It must not import other
// packages of this project.
package embeddedetcd
