#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Compares batchgate-apiserver in the work tree with the one of a commit, by patches, gets and lists.
# Each runs in a control plane of its own, and they take turns of 1.2 seconds. Prints a table for each
# measurement, with ratios to the commit.
#
# Usage: hack/bench-compare.sh COMMIT [ARGUMENT...]   (arguments of the benchmarks, such as -rounds 10)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CGO_ENABLED=0 GOFLAGS="-trimpath ${GOFLAGS:-}"

if [[ $# -eq 0 ]]; then
  echo "name a commit to compare with: make bench-compare BASE=origin/main" >&2
  exit 2
fi
commit=$(git rev-parse --verify --quiet "$1^{commit}") || {
  echo "there is no commit $1" >&2
  exit 2
}
shift

base=$(mktemp -d)
trap 'git worktree remove --force "$base/tree"; rm -rf "$base"' EXIT
git worktree add --quiet --detach "$base/tree" "$commit"
"$base/tree/hack/build.sh" "$base/batchgate-apiserver" >/dev/null
hack/build-tools.sh >/dev/null
go -C test build -o ../_output/bench ./performance
_output/bench -base "$base/batchgate-apiserver" "$@"
