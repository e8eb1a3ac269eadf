#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Fails, and says what to do, if this machine cannot run the real nodes of test/node.
#
# Usage: hack/node-requirements.sh
set -euo pipefail
packages="containerd runc containernetworking-plugins iptables iproute2 conntrack busybox-static"

if [[ $(uname -s) != Linux || $EUID -ne 0 ]]; then
  echo "real nodes need Linux, root, and these packages of Debian or Ubuntu: $packages" >&2
  exit 1
fi
missing=()
for program in containerd containerd-shim-runc-v2 ctr runc iptables ip conntrack busybox nsenter /usr/lib/cni/bridge; do
  if ! command -v "$program" >/dev/null; then
    missing+=("$program")
  fi
done
if [[ ${#missing[@]} -gt 0 ]]; then
  echo "real nodes need ${missing[*]}; install: apt-get install --no-install-recommends $packages" >&2
  exit 1
fi
