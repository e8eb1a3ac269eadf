#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds the tools that a module under hack/tools pins, and prints the directory that holds
# them. A tool that is already there is not built again. The directory is outside the work
# tree and is named after the checksum of the module's go.sum (for a module with Go code:
# also of that code).
#
# Modules:
#   controlplane   etcd, kubectl, kwok and the Kubernetes control plane (default); the first
#                  build takes about 10 minutes on two cores
#   controlplane-1.35, controlplane-1.36
#                  the control planes of the older supported minor versions, and their kubectl
#   node           kubelet and kube-proxy
#   coredns        the DNS server of a cluster
#   e2e            Kubernetes' end-to-end tests (e2e.test) and their runner, ginkgo
#   e2e-1.35, e2e-1.36
#                  the same of the older supported minor versions
#   promql         evaluates alerts and dashboards with the Prometheus engine
#   kueue, jobset  the controllers of these projects
#   flux           kustomize-controller of Flux
#   argocd         Argo CD, all parts in one program
#   cert-manager   controller and cainjector of cert-manager
#   mpi-operator   the controller of Kubeflow's MPI Operator
#   helm           Helm 4 (helm) and Helm 3 (helm3)
#   lint           golangci-lint, and Vale, which needs a C compiler
#   release        writes the image of a release (release) and of tests (image); crane,
#                  cyclonedx-gomod and krew
#   ci             actionlint and govulncheck
#   docs           checks Markdown pages, and writes docs/generated/faults.md
#
#   BATCHGATE_TOOLS_DIR   parent directory; default ${XDG_CACHE_HOME:-$HOME/.cache}/batchgate/tools
#
# Usage: hack/build-tools.sh [-m MODULE] [NAME...]   (default: all tools of the module)
set -euo pipefail
module=controlplane
if [[ ${1:-} == -m ]]; then
  module=$2
  shift 2
fi
cd "$(dirname "${BASH_SOURCE[0]}")/tools/$module"

# packages lists what to build, cheapest first, so that a failure shows early.
sources=(go.sum)
case $module in
controlplane)
  packages=(
    go.etcd.io/etcd/server/v3
    sigs.k8s.io/kwok/cmd/kwok
    k8s.io/kubernetes/cmd/kubectl
    k8s.io/kubernetes/cmd/kube-scheduler
    k8s.io/kubernetes/cmd/kube-controller-manager
    k8s.io/kubernetes/cmd/kube-apiserver
  )
  ;;
controlplane-*)
  packages=(
    k8s.io/kubernetes/cmd/kubectl
    k8s.io/kubernetes/cmd/kube-scheduler
    k8s.io/kubernetes/cmd/kube-controller-manager
    k8s.io/kubernetes/cmd/kube-apiserver
  )
  ;;
node) packages=(k8s.io/kubernetes/cmd/kube-proxy k8s.io/kubernetes/cmd/kubelet) ;;
coredns) packages=(github.com/coredns/coredns) ;;
e2e | e2e-*) packages=(github.com/onsi/ginkgo/v2/ginkgo k8s.io/kubernetes/test/e2e) ;;
helm) packages=(helm.sh/helm/v4/cmd/helm helm.sh/helm/v3/cmd/helm) ;;
kueue | jobset) packages=(tool) ;;
cert-manager)
  packages=(
    github.com/cert-manager/cert-manager/cmd/cainjector
    github.com/cert-manager/cert-manager/cmd/controller
  )
  ;;
argocd) packages=(github.com/argoproj/argo-cd/v3/cmd) ;;
flux) packages=(github.com/fluxcd/kustomize-controller) ;;
ci) packages=(github.com/rhysd/actionlint/cmd/actionlint golang.org/x/vuln/cmd/govulncheck) ;;
lint)
  packages=(
    github.com/vale-cli/vale/v3/cmd/vale
    github.com/golangci/golangci-lint/v2/cmd/golangci-lint
  )
  ;;
release)
  packages=(
    .
    ./image
    github.com/google/go-containerregistry/cmd/crane
    github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
    sigs.k8s.io/krew/cmd/krew
    sigs.k8s.io/krew/cmd/validate-krew-manifest
  )
  sources+=(*.go image/*.go)
  ;;
*)
  packages=(.)
  sources+=(*.go)
  ;;
esac

# name PACKAGE prints the name of its binary.
name() {
  case $1 in
  go.etcd.io/etcd/server/v3) echo etcd ;;
  k8s.io/kubernetes/test/e2e) echo e2e.test ;;
  helm.sh/helm/v3/cmd/helm) echo helm3 ;;
  . | tool | github.com/argoproj/argo-cd/v3/cmd) echo "$module" ;;
  *) basename "$1" ;;
  esac
}

key=$(cat "${sources[@]}" | sha256sum | cut -c1-16)
directory=${BATCHGATE_TOOLS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/batchgate/tools}/$key
mkdir -p "$directory"

# missing NAME... prints the packages of these tools (default: all) that are not built yet.
missing() {
  local package
  for package in "${packages[@]}"; do
    if [[ $# -eq 0 || " $* " == *" $(name "$package") "* ]] && [[ ! -x $directory/$(name "$package") ]]; then
      echo "$package"
    fi
  done
}
if [[ -z $(missing "$@") ]]; then
  echo "$directory"
  exit
fi

# One build at a time: a second caller waits for the first and then finds the binaries.
exec 9>"$directory/.lock"
if ! flock --nonblock 9; then
  echo "waiting for another build of the tools ..." >&2
  flock 9
fi

export GOFLAGS=-mod=readonly GOWORK=off
stamps=
if [[ $module == controlplane* || $module == e2e* || $module == node ]]; then
  version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
  IFS=. read -r major minor _ <<<"${version#v}"
  v=k8s.io/component-base/version
  stamps="-X $v.gitVersion=$version -X $v.gitMajor=$major -X $v.gitMinor=$minor -X $v.gitTreeState=clean"
fi
for package in $(missing "$@"); do
  tool=$(name "$package")
  echo "building $tool ..." >&2
  began=$SECONDS
  build=(go build)
  if [[ $tool == *.test ]]; then
    build=(go test -c)
  fi
  cgo=0
  if [[ $tool == vale ]]; then
    cgo=1 # its parser of source code is written in C
  fi
  CGO_ENABLED=$cgo "${build[@]}" -trimpath -ldflags "-s -w $stamps" -o "$directory/.$tool.new" "$package"
  mv "$directory/.$tool.new" "$directory/$tool"
  echo "built $tool in $((SECONDS - began)) s" >&2
done
echo "$directory"
