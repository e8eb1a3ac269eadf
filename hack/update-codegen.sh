#!/usr/bin/env bash
# Generates all that is derived from the API types in pkg/apis: deepcopy, conversion and
# defaulting beside them, and in pkg/generated the OpenAPI definitions, clientset, informers,
# listers and apply configurations. The generators are those of the Kubernetes version that
# go.mod names; they are built on first use. And from the types of a Job, the functions of
# pkg/fieldpolicy that compare two of them.
#
# Usage: hack/update-codegen.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

module=$(go list -m)
version=$(go list -m -f '{{.Version}}' k8s.io/apimachinery)
generators=$(go mod download -json "k8s.io/code-generator@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')

# Where the generators are built to. A module in the cache is built as it is, with its own go.sum.
GOBIN=${XDG_CACHE_HOME:-$HOME/.cache}/batchgate/codegen/$version
export GOBIN GOFLAGS=-mod=readonly GOWORK=off
mkdir -p "$GOBIN"

# The generators leave their reports where temporary files are.
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# shellcheck source=/dev/null
source "$generators/kube_codegen.sh"

kube::codegen::gen_helpers --boilerplate /dev/null pkg/apis

kube::codegen::gen_register --boilerplate /dev/null pkg/apis

# A policy names its subjects as RBAC does.
KUBE_CODEGEN_READONLY_PKGS+=(k8s.io/api/rbac/v1)

# The list is of upstream's own violations of the API conventions; a new one is an error.
kube::codegen::gen_openapi \
  --boilerplate /dev/null \
  --output-dir pkg/generated/openapi \
  --output-pkg "$module/pkg/generated/openapi" \
  --output-model-name-file zz_generated.model_name.go \
  --report-filename hack/openapi-violations.list \
  --extra-pkgs k8s.io/api/rbac/v1 \
  pkg/apis

kube::codegen::gen_client \
  --boilerplate /dev/null \
  --with-watch \
  --with-applyconfig \
  --applyconfig-openapi-schema <(go run ./hack/openapi-models) \
  --output-dir pkg/generated \
  --output-pkg "$module/pkg/generated" \
  pkg/apis

# As a whole or not at all: what is half written does not build.
equal=$(go run ./hack/equal-gen)
printf '%s\n' "$equal" >pkg/fieldpolicy/zz_generated.equal.go
