#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Starts the server without a cluster and demonstrates the gate with kubectl: one patch is
# allowed, one is denied, and one changes nothing. Then the server runs until Ctrl-C. The
# script fails if a command has an unexpected result.
#
#   DIRECTORY   data directory of the server; default _output/standalone
#   PORT        port on 127.0.0.1; default 8443
#   RUN_ONCE=1  stop after the demonstration
#
# Usage: hack/run.sh
set -euo pipefail
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
directory=$(realpath -m "${DIRECTORY:-$root/_output/standalone}")
port=${PORT:-8443}
cd "$root"

fail() {
  echo "run.sh: $*" >&2
  exit 1
}

server_pid=
# stop_server shuts down the server that this script started.
stop_server() {
  if [[ -n $server_pid ]] && kill -TERM "$server_pid" 2>/dev/null; then
    echo "stopping the server"
    wait "$server_pid" || true
  fi
}
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start_server starts the server and waits until it is ready.
start_server() {
  local log=$directory/server.log began=$SECONDS
  if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    fail "port $port is in use; free it or choose another port: PORT=9443 make run"
  fi
  mkdir -p "$directory"
  # The server gets its own process group (set -m): a terminal sends Ctrl-C to the whole
  # group, and a second signal would end the server without a graceful shutdown.
  set -m
  _output/batchgate-apiserver standalone --directory="$directory" --secure-port="$port" >>"$log" 2>&1 &
  server_pid=$!
  set +m
  echo "starting the server; log: $log"
  # --server, because the kubeconfig may still name the port of an earlier start.
  until kubectl --server="https://127.0.0.1:$port" get --raw=/readyz >/dev/null 2>&1; do
    if ! kill -0 "$server_pid" 2>/dev/null; then
      tail -n 5 "$log" >&2
      fail "the server exited; see the end of its log above"
    fi
    if ((SECONDS - began > 60)); then
      tail -n 20 "$log" >&2
      fail "the server is not ready after 60 s; see the end of its log above"
    fi
    sleep 0.2
  done
  echo "ready after $((SECONDS - began)) s"
}

# show COMMAND... prints a command, runs it and prints its output. It sets output and status.
show() {
  printf '\n$ %s\n' "$*"
  status=0
  output=$("$@" 2>&1) || status=$?
  echo "$output"
}

# expect STATUS TEXT... fails unless the last command of show exited with STATUS and printed
# every TEXT.
expect() {
  [[ $status -eq $1 ]] || fail "the command above exited with $status, want $1"
  shift
  local text
  for text in "$@"; do
    [[ $output == *"$text"* ]] || fail "the command above did not print: $text"
  done
}

# field JSONPATH prints a field of the Job pi.
field() {
  kubectl get job pi --output="jsonpath={$1}"
}

demonstrate() {
  local examples=artifacts/examples before
  if kubectl get job pi >/dev/null 2>&1; then
    echo "the Job pi exists from an earlier run; resetting it"
    kubectl patch job pi --type=merge --patch='{"metadata":{"labels":{"tier":null}},"spec":{"parallelism":1,"completions":1}}' >/dev/null
  else
    show kubectl create -f "$examples/job-pi.yaml"
    expect 0 "job.batch/pi created"
  fi

  heading "Labels, parallelism and completions may be updated:"
  show kubectl patch job pi --patch-file="$examples/patch-allowed.json"
  expect 0 "job.batch/pi patched"
  show kubectl get job pi --output="custom-columns=NAME:.metadata.name,TIER:.metadata.labels.tier,PARALLELISM:.spec.parallelism,COMPLETIONS:.spec.completions"
  [[ $(field .metadata.labels.tier)/$(field .spec.parallelism)/$(field .spec.completions) == batch/3/6 ]] || fail "the update was not stored"

  before=$(field .metadata.resourceVersion)
  heading "An update that changes anything else is denied as a whole, and the error lists every path:"
  show kubectl patch job pi --patch-file="$examples/patch-denied.json"
  expect 1 'The Job "pi" is invalid' \
    'spec.backoffLimit: Forbidden: may not be updated' \
    'spec.template.spec.containers[name="pi"].image: Forbidden: may not be updated'
  [[ $(field .metadata.resourceVersion) == "$before" ]] || fail "the denied update was stored"

  heading "Unknown fields change nothing, and the server warns about them:"
  show kubectl patch job pi --type=merge --patch-file="$examples/patch-cce.json"
  expect 0 'unknown field "op"' 'unknown field "path"' 'unknown field "value"' "job.batch/pi patched (no change)"
  [[ $(field .metadata.resourceVersion) == "$before" ]] || fail "the update without changes was stored"
}

heading() {
  printf '\n%s\n' "$*"
}

echo "building the server (the first build takes minutes)"
hack/build.sh >/dev/null
tools=$(hack/build-tools.sh kubectl)
PATH=$tools:$PATH
export KUBECONFIG=$directory/admin.kubeconfig
# The default cache in the home directory would be shared with any other server on this port.
export KUBECACHEDIR=$directory/kubectl-cache

start_server
demonstrate
if [[ -n ${RUN_ONCE:-} ]]; then
  heading "the demonstration succeeded"
  exit 0
fi
cat <<END

Continue in another terminal:

  export KUBECONFIG=$KUBECONFIG PATH=$tools:\$PATH
  kubectl get jobs

Serving on https://127.0.0.1:$port until Ctrl-C. The Jobs are kept in $directory.
END
trap 'echo; exit 0' INT TERM # the expected end
wait "$server_pid" || fail "the server exited; log: $directory/server.log"
