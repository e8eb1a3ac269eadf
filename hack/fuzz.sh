#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Runs fuzz targets one after another, each for a duration (30s) or a number of executions
# (100000x). The corpus is kept in _output/fuzz. A failing input is written to testdata/fuzz
# beside its target and runs with the ordinary tests from then on.
#
#   FUZZ_PARALLEL=1   number of processes per target; default: one per CPU
#
# Usage: hack/fuzz.sh TIME [REGEXP]   (default: all targets)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time=${1:?TIME is missing: how long each target runs, for example 30s or 100000x}
only=${2:-.}
output=$PWD/_output/fuzz
options=(-test.run '^$' -test.fuzztime "$time" -test.fuzzminimizetime 1x)
if [[ -n ${FUZZ_PARALLEL:-} ]]; then
  options+=(-test.parallel "$FUZZ_PARALLEL")
fi

# Only this project's code and upstream's handlers and rules for Jobs are instrumented for
# coverage. "go test -fuzz" would instrument all of Kubernetes and etcd: the build would take
# half an hour, and the targets would run ten times slower.
instrumented=()
for package in github.com/batchgate/batchgate/... k8s.io/apiserver/pkg/endpoints/handlers \
  k8s.io/kubernetes/pkg/apis/batch/validation k8s.io/kubernetes/pkg/registry/batch/job; do
  instrumented+=("-gcflags=$package=-d=libfuzzer")
done
mkdir -p "$output"
for package in $(grep -rl '^func Fuzz' --include='*_test.go' pkg test | xargs dirname | sort -u); do
  mapfile -t targets < <(grep -ho '^func Fuzz[A-Za-z]*' "$package"/*_test.go | cut -d ' ' -f 2 | grep -E "$only")
  if [[ ${#targets[@]} == 0 ]]; then
    continue
  fi
  binary=$output/$(basename "$package").test
  go -C "$package" test -c -o "$binary" "${instrumented[@]}" .
  for target in "${targets[@]}"; do
    echo "== $target"
    (cd "$package" && "$binary" "${options[@]}" -test.fuzz "^$target\$" -test.fuzzcachedir "$output/$package")
  done
done
