// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package options defines the command line flags of the server, validates them, and builds the
// server's configuration from them. The configuration itself is in the packages that it calls:
// authentication, authorization, admission, filters, storage, openapi, metrics and connection.
//
// Only cmd and tests may import this package.
package options
