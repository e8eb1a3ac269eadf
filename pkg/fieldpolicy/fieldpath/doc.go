// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fieldpath is the path language of JobUpdatePolicies: paths of fields of a batch/v1
// Job, and the path patterns that policies grant.
//
// A path names fields by their JSON names, joined by dots. It names the elements of a list
// by the keys that server-side apply merges the list by, and the keys of a map and the
// members of a set by their quoted value:
//
//	spec.template.spec.containers[name="main"].ports[containerPort=80,protocol="TCP"]
//	metadata.annotations["example.com/a"]
//
// Anything may import this package. It imports API types only.
package fieldpath
