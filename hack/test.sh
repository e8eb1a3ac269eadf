#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Runs test suites. It first builds the tools and test binaries that they need, then runs the
# suites, at most two at a time, and prints their progress. It ends with the output of all
# failed tests, their messages again, one line per suite, and the total. _output/test/SUITE.log
# has all output. A suite that ran no test fails.
#
# Suites:
#   unit          the packages of the product; some run etcd in the test process
#   framework     the framework of the end-to-end tests
#   performance   the reports of the benchmarks
#   integration   the server on a real etcd
#   core policy plugin monitoring chart parity transitions upstream disruption outage ecosystem
#                 test/e2e/SUITE, on a real control plane
#   node          test/e2e/node, on real nodes with containers; skipped with a message if root or a
#                 package is missing
#   default       unit framework performance integration core policy plugin monitoring
#   all           all of the above
#
#   RUN=REGEXP          run only these tests
#   SKIP=SUITES         leave these suites out of "default" and "all"
#   UPDATE_GOLDEN=1     update the files that parity, upstream, transitions and ecosystem compare
#                       with, and write docs/generated/node.md
#   BATCHGATE_ALL_TRANSITIONS=1   test all allowed combinations in transitions; takes about 10
#                       minutes, in which no other suite should run
#   BATCHGATE_ALL_ORDERS=1        test more start orders in disruption
#   BATCHGATE_ALL_HOSTILE=1       send hostile requests ten at a time in integration; "all" sets it
#   BATCHGATE_KUBERNETES=1.36     test with the control plane of an older minor version, 1.35 or 1.36
#   BATCHGATE_UPGRADES=1          test upgrades from older minor versions in disruption; "all" sets it
#
# Usage: hack/test.sh SUITE...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# All builds use the same settings, so that they share the build cache.
export CGO_ENABLED=0 GOFLAGS="-trimpath ${GOFLAGS:-}"
output=$PWD/_output/test
binaries=$output/bin

# Each stage runs its two lanes at the same time. A new suite must be added to a stage.
stages=(
  "unit | framework performance integration"
  "core policy | plugin monitoring"
  "disruption | parity transitions upstream outage chart"
  "ecosystem | node"
)
default=(unit framework performance integration core policy plugin monitoring)

# folder SUITE prints the package of a suite, relative to test.
folder() {
  case $1 in
  framework | performance | integration) echo "$1" ;;
  *) echo "e2e/$1" ;;
  esac
}

# select_suites SUITE... sets requested to the suites to run, in the order of the stages.
select_suites() {
  local suite known
  # shellcheck disable=SC2048 # splits the stages into words
  read -ra known <<<"${stages[*]//|/}"
  for suite in test/e2e/*/main_test.go; do
    suite=$(basename "$(dirname "$suite")")
    if [[ " ${known[*]} " != *" $suite "* ]]; then
      echo "add test/e2e/$suite to a stage of hack/test.sh" >&2
      exit 2
    fi
  done
  for suite in "$@"; do
    if [[ " default all ${known[*]} " != *" $suite "* ]]; then
      echo "no suite $suite; the suites are: ${known[*]} default all" >&2
      exit 2
    fi
  done
  requested=()
  for suite in "${known[@]}"; do
    if [[ $suite == node && " $* " =~ " all "|" node " ]] && ! hack/node-requirements.sh; then
      echo "skipped the suite node"
      continue
    fi
    if [[ " $* " == *" $suite "* ]] ||
      { [[ " $* " == *" all "* || " $* " == *" default "* && " ${default[*]} " == *" $suite "* ]] &&
        [[ " ${SKIP:-} " != *" $suite "* ]]; }; then
      requested+=("$suite")
    fi
  done
}

# needs SUITE... is true if one of the suites is requested.
needs() {
  local suite
  for suite in "$@"; do
    if [[ " ${requested[*]} " == *" $suite "* ]]; then
      return
    fi
  done
  return 1
}

# prepare builds what the suites need.
prepare() {
  local suite packages=()
  mkdir -p "$binaries"
  go build -o "$binaries/" ./hack/test-progress cmd/test2json
  for suite in "${requested[@]}"; do
    if [[ $suite != unit ]]; then
      packages+=("./$(folder "$suite")")
    fi
  done
  if [[ " ${packages[*]}" == *" ./e2e/"* ]]; then
    hack/build-tools.sh >/dev/null
    hack/build.sh >/dev/null
    if [[ -n ${BATCHGATE_KUBERNETES:-} ]]; then
      hack/build-tools.sh -m "controlplane-$BATCHGATE_KUBERNETES" >/dev/null
    fi
  fi
  if [[ ${#packages[@]} -gt 0 ]]; then
    go -C test test -c -o "$binaries/" "${packages[@]}"
  fi
  if needs core monitoring; then
    hack/build-tools.sh -m promql >/dev/null
  fi
  if needs chart; then
    hack/build-tools.sh -m helm >/dev/null
  fi
  if needs disruption && [[ -n ${BATCHGATE_UPGRADES:-} ]]; then
    hack/build-tools.sh -m controlplane-1.35 >/dev/null
    hack/build-tools.sh -m controlplane-1.36 >/dev/null
  fi
  if needs upstream; then
    hack/build-tools.sh -m "e2e${BATCHGATE_KUBERNETES:+-$BATCHGATE_KUBERNETES}" >/dev/null
  fi
  if needs node; then
    hack/build-tools.sh -m node >/dev/null
    hack/build-tools.sh -m coredns >/dev/null
    hack/build-tools.sh -m helm helm >/dev/null
    hack/build-tools.sh -m e2e >/dev/null
    PLATFORMS=linux/$(go env GOARCH) hack/release.sh "$(cat VERSION)" >/dev/null
  fi
  if needs ecosystem; then
    hack/build-tools.sh -m jobset >/dev/null
    hack/build-tools.sh -m kueue >/dev/null
    hack/build-tools.sh -m helm >/dev/null
    hack/build-tools.sh -m flux >/dev/null
    hack/build-tools.sh -m mpi-operator >/dev/null
    hack/build-tools.sh -m argocd >/dev/null
    hack/build-tools.sh -m cert-manager >/dev/null
    hack/build-tools.sh -m controlplane-1.35 kubectl >/dev/null
    hack/build-tools.sh -m controlplane-1.36 kubectl >/dev/null
  fi
}

# events SUITE runs a suite and prints what happens in the format of test2json.
events() {
  local binary options=(-test.v=test2json -test.paniconexit0 -test.timeout=60m)
  if [[ $1 == unit ]]; then
    go test -json ${RUN:+-run "$RUN"} ./...
    return
  fi
  binary=$binaries/$(basename "$(folder "$1")").test
  if [[ -n ${RUN:-} ]]; then
    options+=(-test.run "$RUN")
  fi
  if [[ $1 == integration ]]; then
    options+=(-test.parallel 8) # most of these tests wait for servers
  fi
  cd "test/$(folder "$1")"
  "$binaries/test2json" -t -p "test/$(folder "$1")" "$binary" "${options[@]}"
}

# lane SUITE... runs each suite that is requested, one after another.
lane() {
  local suite
  for suite in "$@"; do
    if needs "$suite"; then
      (events "$suite") 2>&1 | "$binaries/test-progress" -suite "$suite" -directory "$output" || true
    fi
  done
}

# Each lane is a process group, so that a signal also stops all processes that it has started.
lanes=()
stop_lanes() {
  local group
  for group in "${lanes[@]}"; do
    kill -- "-$group" 2>/dev/null || true
  done
}
trap stop_lanes EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ " $* " == *" all "* ]]; then
  export BATCHGATE_ALL_HOSTILE=1 BATCHGATE_UPGRADES=1
fi
select_suites "${@:?SUITE is missing; see the first lines of hack/test.sh}"
if [[ ${#requested[@]} -eq 0 ]]; then
  exit
fi
began=$SECONDS
prepare
echo "built what the tests need in $((SECONDS - began)) s"
rm -f "$output"/*.{log,failures,errors,summary}
for stage in "${stages[@]}"; do
  lanes=()
  set -m
  for suites in "${stage%|*}" "${stage#*|}"; do
    # shellcheck disable=SC2086 # a list of suites
    lane $suites &
    lanes+=($!)
  done
  set +m
  wait "${lanes[@]}"
done
lanes=()

summaries=()
for suite in "${requested[@]}"; do
  if [[ ! -e $output/$suite.summary ]]; then
    echo "$suite has no result; see $output/$suite.log" >&2
    exit 1
  fi
  cat "$output/$suite.failures"
  summaries+=("$output/$suite.summary")
done
cat "${summaries[@]/%summary/errors}"
echo
cat "${summaries[@]}"
echo
# A suite that ran no test fails too.
awk '
  $2 != "passed" {status = 1}
  {passed += $3; failed += $5; skipped += $7}
  END {printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit status}
' "${summaries[@]}"
