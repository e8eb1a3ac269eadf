#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Fails, and says what to do, if this machine cannot run the real nodes of test/node.
#
# Usage: hack/node-requirements.sh
set -euo pipefail
packages="containerd runc containernetworking-plugins iptables iproute2 conntrack busybox-static openssl"

if [[ $(uname -s) != Linux || $EUID -ne 0 ]]; then
  echo "real nodes need Linux, root, and these packages of Debian or Ubuntu: $packages" >&2
  exit 1
fi
missing=()
for program in containerd containerd-shim-runc-v2 ctr runc iptables ip conntrack busybox nsenter openssl /usr/lib/cni/bridge; do
  if ! command -v "$program" >/dev/null; then
    missing+=("$program")
  fi
done
if busybox=$(command -v busybox) && ldd "$busybox" >/dev/null 2>&1; then
  missing+=("a static busybox")
fi
if [[ ${#missing[@]} -gt 0 ]]; then
  echo "real nodes need ${missing[*]}; install: apt-get install --no-install-recommends $packages" >&2
  exit 1
fi
if ! unshare --mount --pid --net --uts --ipc --cgroup --fork true 2>/dev/null; then
  echo "real nodes need a machine, or a privileged container, that may create namespaces" >&2
  exit 1
fi
if [[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] && ! modprobe br_netfilter 2>/dev/null; then
  echo "real nodes need the kernel module br_netfilter" >&2
  exit 1
fi
directory=${TMPDIR:-/tmp}
case $(stat --file-system --format=%T "$directory") in
overlay*)
  echo "real nodes keep disks in $directory, which is an overlay; set TMPDIR to a directory on another file system" >&2
  exit 1
  ;;
esac
case $(realpath "$directory")/ in
/etc/* | /opt/* | /run/* | /var/*)
  echo "real nodes mount their own files over $directory; set TMPDIR to a directory outside /etc, /opt, /run and /var" >&2
  exit 1
  ;;
esac
