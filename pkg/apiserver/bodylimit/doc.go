// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bodylimit limits the number of values in the body of a request before it is decoded. A
// body of 3 MB can contain a million empty list elements, and each of them can become a struct of
// a kilobyte, in several copies.
//
// For each format, a function counts at least the values that a decoder would create. It also counts
// the values before a syntax error, because a decoder may create them before it finds the error.
//
// Only pkg/apiserver/filters may import this package.
package bodylimit
