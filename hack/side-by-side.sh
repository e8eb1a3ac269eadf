#!/usr/bin/env bash
# Runs two commands at the same time, which wait more than they compute. What the first prints
# comes after the second has ended. Fails if one of them does.
#
# Usage: hack/side-by-side.sh COMMAND COMMAND   (each one line of shell)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
output=$(mktemp)
# A process group of its own, which can be ended as a whole.
set -m
bash -c "$1" >"$output" 2>&1 &
aside=$!
set +m
trap 'kill -- "-$aside" 2>/dev/null || true; rm -f "$output"' EXIT
aside_status=0 status=0
bash -c "$2" || status=$?
wait "$aside" || aside_status=$?
cat "$output"
if ((status)); then
  echo "failed, with its output above that of the other: $2" >&2
fi
if ((aside_status)); then
  echo "failed: $1" >&2
  status=$aside_status
fi
exit "$status"
