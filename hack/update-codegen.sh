#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Generates code from API types:
#   - from pkg/apis: deepcopy, conversion and defaulting functions beside the types, and in
#     pkg/generated the OpenAPI definitions, clientset, informers, listers and apply
#     configurations
#   - from upstream's Job type: the functions of pkg/fieldpolicy that compare two Jobs
#
# The generators have the Kubernetes version of go.mod and are built on first use.
#
# Usage: hack/update-codegen.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

module=$(go list -m)
version=$(go list -m -f '{{.Version}}' k8s.io/apimachinery)
generators=$(go mod download -json "k8s.io/code-generator@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')

# The generators are built here from the module cache, with their own go.sum.
GOBIN=${XDG_CACHE_HOME:-$HOME/.cache}/batchgate/codegen/$version
export GOBIN GOFLAGS=-mod=readonly GOWORK=off
mkdir -p "$GOBIN"

# The generators leave reports in the directory for temporary files.
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# shellcheck source=/dev/null
source "$generators/kube_codegen.sh"

kube::codegen::gen_helpers --boilerplate hack/boilerplate.go.txt pkg/apis

kube::codegen::gen_register --boilerplate hack/boilerplate.go.txt pkg/apis

# JobUpdatePolicy uses the subjects of RBAC.
KUBE_CODEGEN_READONLY_PKGS+=(k8s.io/api/rbac/v1)

# The report lists upstream's own violations of the API conventions. A new violation fails.
kube::codegen::gen_openapi \
  --boilerplate hack/boilerplate.go.txt \
  --output-dir pkg/generated/openapi \
  --output-pkg "$module/pkg/generated/openapi" \
  --output-model-name-file zz_generated.model_name.go \
  --report-filename hack/openapi-violations.list \
  --extra-pkgs k8s.io/api/rbac/v1 \
  pkg/apis

kube::codegen::gen_client \
  --boilerplate hack/boilerplate.go.txt \
  --with-watch \
  --with-applyconfig \
  --applyconfig-openapi-schema <(go run ./hack/openapi-models) \
  --output-dir pkg/generated \
  --output-pkg "$module/pkg/generated" \
  pkg/apis

# Written only after the generator succeeded, because pkg/fieldpolicy does not build with an
# incomplete file.
equal=$(go run ./hack/equal-gen)
printf '%s\n\n%s\n' "$(<hack/boilerplate.go.txt)" "$equal" >pkg/fieldpolicy/zz_generated.equal.go
