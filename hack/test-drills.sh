#!/usr/bin/env bash
# Runs the drills. The one that waits 5 to 10 minutes for a controller's watch to end does so
# beside the others; what it says is printed after them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
slow='^TestImportUnderLoad'
drills() { go test -v -count=1 -timeout 40m "$@" ./test/drills/...; }

output=$(mktemp)
# A process group of its own, which can be ended as a whole.
set -m
drills -run "$slow" >"$output" 2>&1 &
waiting=$!
set +m
trap 'kill -- "-$waiting" 2>/dev/null || true; rm -f "$output"' EXIT
status=0
drills -skip "$slow" || status=$?
wait "$waiting" || status=$?
cat "$output"
exit "$status"
