#!/usr/bin/env bash
# Starts the server without a cluster and shows the gate at work, with kubectl: a patch
# that is allowed, one that is refused, and one that changes nothing. Then it keeps serving
# until Ctrl-C. It fails if a step has another result than it should.
#
#   DIRECTORY   where the server keeps its data; default _output/standalone
#   PORT        default 8443
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
# Stops the server, in order; and only this one, should there be others.
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
    fail "port $port is in use; stop what listens there, or choose another one: PORT=9443 make run"
  fi
  mkdir -p "$directory"
  # In a process group of its own (set -m), for a terminal sends Ctrl-C to all of a group,
  # and a server that is told twice to stop does so at once.
  set -m
  _output/batchgate-apiserver standalone --directory="$directory" --secure-port="$port" >>"$log" 2>&1 &
  server_pid=$!
  set +m
  echo "starting the server; its log is $log"
  # By its URL: the kubeconfig may yet be that of an earlier start, on another port.
  until kubectl --server="https://127.0.0.1:$port" get --raw=/readyz >/dev/null 2>&1; do
    if ! kill -0 "$server_pid" 2>/dev/null; then
      tail -n 5 "$log" >&2
      fail "the server has ended; the end of its log is above"
    fi
    if ((SECONDS - began > 60)); then
      tail -n 20 "$log" >&2
      fail "the server is not ready after 60 s; the end of its log is above"
    fi
    sleep 0.2
  done
  echo "ready after $((SECONDS - began)) s"
}

# show runs a command after printing it, prints what it prints, and leaves that in output
# and its exit status in status.
show() {
  printf '\n$ %s\n' "$*"
  status=0
  output=$("$@" 2>&1) || status=$?
  echo "$output"
}

# expect STATUS TEXT... fails unless the last command shown had the exit status and
# printed each of the texts.
expect() {
  [[ $status -eq $1 ]] || fail "that command should have ended with $1, not $status"
  shift
  local text
  for text in "$@"; do
    [[ $output == *"$text"* ]] || fail "that command should have printed: $text"
  done
}

# field JSONPATH prints a field of the Job.
field() {
  kubectl get job pi --output="jsonpath={$1}"
}

demonstrate() {
  local examples=artifacts/examples before
  if kubectl get job pi >/dev/null 2>&1; then
    echo "the Job pi is there from an earlier run; taking back the changes of that run"
    kubectl patch job pi --type=merge --patch='{"metadata":{"labels":{"tier":null}},"spec":{"parallelism":1,"completions":1}}' >/dev/null
  else
    show kubectl create -f "$examples/job-pi.yaml"
    expect 0 "job.batch/pi created"
  fi

  heading "An update of labels, parallelism and completions is allowed:"
  show kubectl patch job pi --patch-file="$examples/patch-allowed.json"
  expect 0 "job.batch/pi patched"
  show kubectl get job pi --output="custom-columns=NAME:.metadata.name,TIER:.metadata.labels.tier,PARALLELISM:.spec.parallelism,COMPLETIONS:.spec.completions"
  [[ $(field .metadata.labels.tier)/$(field .spec.parallelism)/$(field .spec.completions) == batch/3/6 ]] || fail "the update is not stored"

  before=$(field .metadata.resourceVersion)
  heading "Any other change is refused, all of it, and each path is named:"
  show kubectl patch job pi --patch-file="$examples/patch-refused.json"
  expect 1 'The Job "pi" is invalid' \
    'spec.backoffLimit: Forbidden: may not be updated' \
    'spec.template.spec.containers[name="pi"].image: Forbidden: may not be updated'
  [[ $(field .metadata.resourceVersion) == "$before" ]] || fail "the refused update is stored"

  heading "Fields that a Job does not have change nothing; the server says so:"
  show kubectl patch job pi --type=merge --patch-file="$examples/patch-page.json"
  expect 0 'unknown field "op"' 'unknown field "path"' 'unknown field "value"' "job.batch/pi patched (no change)"
  [[ $(field .metadata.resourceVersion) == "$before" ]] || fail "the update without a change is stored"
}

heading() {
  printf '\n%s\n' "$*"
}

echo "building the server, which takes minutes the first time"
hack/build.sh >/dev/null
tools=$(hack/build-tools.sh kubectl)
PATH=$tools:$PATH
export KUBECONFIG=$directory/admin.kubeconfig
# Not in the home directory, where it would be that of any server on this port.
export KUBECACHEDIR=$directory/kubectl-cache

start_server
demonstrate
if [[ -n ${RUN_ONCE:-} ]]; then
  heading "all as it should be"
  exit 0
fi
cat <<END

Go on in another terminal:

  export KUBECONFIG=$KUBECONFIG PATH=$tools:\$PATH
  kubectl get jobs

Serving at https://127.0.0.1:$port until Ctrl-C; the Jobs stay in $directory.
END
trap 'echo; exit 0' INT TERM # the way it is meant to end
wait "$server_pid" || fail "the server has ended; its log is $directory/server.log"
