// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart renders the Helm chart in artifacts/chart and the kustomizations that it must be
// equal to. Its tests need no cluster; the suite test/e2e/chart installs the chart.
package chart
