#!/usr/bin/env bash
# Builds a command, statically, to the given file: by default the server, to
# _output/batchgate-apiserver. The same commit gives the same binary: paths are trimmed, and
# the date is the commit's.
#
# Where there is no git work tree (in an image build), these say what is built:
#   GIT_COMMIT, GIT_TREE_STATE, SOURCE_DATE_EPOCH (seconds)
#
# Usage: hack/build.sh [FILE [PACKAGE]]
set -euo pipefail
output=$(realpath -m "${1:-$(dirname "${BASH_SOURCE[0]}")/../_output/batchgate-apiserver}")
package=${2:-./cmd/batchgate-apiserver}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The version is that of the Kubernetes libraries, which is what clients and feature gates
# look at, with this project's as build metadata.
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
# -buildvcs=false: the stamps above say it already, and in a form that clients can ask for.
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w ${stamps[*]}" -o "$output" "$package"
echo "$output"
