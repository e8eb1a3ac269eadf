#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds a static binary of a command; by default the server, as _output/batchgate-apiserver.
# Builds are reproducible: paths are trimmed, and the build date is the date of the commit.
#
# Outside a git work tree (in an image build) these variables describe the source:
#   GIT_COMMIT, GIT_TREE_STATE, SOURCE_DATE_EPOCH (seconds)
#
# Usage: hack/build.sh [FILE [PACKAGE]]
set -euo pipefail
output=$(realpath -m "${1:-$(dirname "${BASH_SOURCE[0]}")/../_output/batchgate-apiserver}")
package=${2:-./cmd/batchgate-apiserver}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The binary reports the version of the Kubernetes libraries, because clients and feature
# gates depend on it. The project's own version is the build metadata.
kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${kubernetes#v}"
version=$kubernetes+batchgate.$(<VERSION)

commit=${GIT_COMMIT:-}
state=${GIT_TREE_STATE:-}
epoch=${SOURCE_DATE_EPOCH:-}
if [[ -z $commit ]] && git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
  commit=$(git rev-parse HEAD)
  state=clean
  if [[ -n $(git status --porcelain) ]]; then
    state=dirty
  fi
  epoch=${epoch:-$(git log -1 --format=%ct)}
fi

v=k8s.io/component-base/version
stamps=(
  "-X $v.gitVersion=$version"
  "-X $v.gitMajor=$major"
  "-X $v.gitMinor=$minor"
  "-X $v.gitCommit=${commit:-unknown}"
  "-X $v.gitTreeState=${state:-unknown}"
  "-X $v.buildDate=$(date -u -d "@${epoch:-0}" +%Y-%m-%dT%H:%M:%SZ)"
)
mkdir -p "$(dirname "$output")"
# -buildvcs=false: the stamps above carry the same facts in a form that clients can query.
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w ${stamps[*]}" -o "$output" "$package"
echo "$output"
