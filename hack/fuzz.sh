#!/usr/bin/env bash
# Runs fuzz targets one after the other, each for a time (30s) or a number of executions
# (100000x): all of them, or those whose names match a regular expression. A failing input is
# kept in testdata/fuzz beside its target, and runs with the tests from then on.
#
#   FUZZ_PARALLEL=1   is how many processes a target runs on, by default one for each CPU
#
# Usage: hack/fuzz.sh TIME [REGEXP]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time=${1:?how long each target runs, for example 30s or 100000x}
only=${2:-.}
options=(-run '^$' -fuzztime "$time" -fuzzminimizetime 1x)
if [[ -n ${FUZZ_PARALLEL:-} ]]; then
  options+=(-parallel "$FUZZ_PARALLEL")
fi
for package in ./pkg/fieldpolicy ./test/integration; do
  mapfile -t targets < <(grep -ho '^func Fuzz[A-Za-z]*' "$package"/*_test.go | cut -d ' ' -f 2 | grep -E "$only")
  for target in "${targets[@]}"; do
    echo "== $target"
    go test "${options[@]}" -fuzz "^$target\$" "$package"
  done
done
