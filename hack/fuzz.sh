#!/usr/bin/env bash
# Runs fuzz targets one after the other, each for a time (30s) or a number of executions
# (100000x): all of them, or those whose names match a regular expression. What they learn is kept
# in _output/fuzz. A failing input is kept in testdata/fuzz beside its target, and runs with the
# tests from then on.
#
#   FUZZ_PARALLEL=1   is how many processes a target runs on, by default one for each CPU
#
# Usage: hack/fuzz.sh TIME [REGEXP]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time=${1:?how long each target runs, for example 30s or 100000x}
only=${2:-.}
output=$PWD/_output/fuzz
options=(-test.run '^$' -test.fuzztime "$time" -test.fuzzminimizetime 1x)
if [[ -n ${FUZZ_PARALLEL:-} ]]; then
  options+=(-test.parallel "$FUZZ_PARALLEL")
fi

# Coverage guides by what is written here, and by upstream's handlers and rules for Jobs. go test
# -fuzz would count all of Kubernetes and etcd, most of which has nothing to do with an update: it
# is built for half an hour, and runs ten times slower.
guides=()
for guide in github.com/batchgate/batchgate/... k8s.io/apiserver/pkg/endpoints/handlers \
  k8s.io/kubernetes/pkg/apis/batch/validation k8s.io/kubernetes/pkg/registry/batch/job; do
  guides+=("-gcflags=$guide=-d=libfuzzer")
done
mkdir -p "$output"
for package in pkg/fieldpolicy test/integration; do
  mapfile -t targets < <(grep -ho '^func Fuzz[A-Za-z]*' "$package"/*_test.go | cut -d ' ' -f 2 | grep -E "$only")
  if [[ ${#targets[@]} == 0 ]]; then
    continue
  fi
  binary=$output/$(basename "$package").test
  go -C "$package" test -c -o "$binary" "${guides[@]}" .
  for target in "${targets[@]}"; do
    echo "== $target"
    (cd "$package" && "$binary" "${options[@]}" -test.fuzz "^$target\$" -test.fuzzcachedir "$output/$package")
  done
done
