#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Runs the checks that are neither compilation nor tests, and prints one line for each. A
# failed check does not stop the others. The work tree stays unchanged, unless
#
#   UPDATE_GOLDEN=1   updates test/golden/*.yaml instead of comparing
#
# Usage: hack/verify.sh [CHECK...]   (default: all checks, which are the functions verify_*)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
# All builds use the same settings, so that they share the build cache.
export CGO_ENABLED=0 GOFLAGS="-trimpath ${GOFLAGS:-}"

# Quick checks come first. lint takes minutes unless Go's build cache already has all packages.
# clean is last because it checks what the others left behind.
all=(gofmt license shellcheck length docs language workflows modules imports manifests chart reference codegen lint clean)

verify_gofmt() {
  local unformatted
  unformatted=$(gofmt -l artifacts cmd hack pkg test)
  if [[ -n $unformatted ]]; then
    printf 'not formatted, run make fmt:\n%s\n' "$unformatted"
    return 1
  fi
}

# verify_license fails if a hand-written Go file or a script does not start with the license
# header: two comment lines, after the line of a script that names its interpreter.
verify_license() {
  local missing
  # shellcheck disable=SC2016 # awk's $0
  missing=$(find . -path ./_output -prune -o \( -name '*.go' -o -name '*.sh' -o -path ./.ci/run \) -print0 |
    xargs -0 grep -LE '^// Code generated .* DO NOT EDIT\.$' |
    xargs awk '
      FNR == 1 {first = /^#!/ ? 2 : 1}
      FNR == first {ok = $0 ~ /^(\/\/|#) Copyright The Batchgate Authors\.$/}
      FNR == first + 1 && !(ok && $0 ~ /^(\/\/|#) SPDX-License-Identifier: Apache-2\.0$/) {print FILENAME}
    ')
  if [[ -n $missing ]]; then
    printf 'these files do not start with the license header; copy it from hack/boilerplate.go.txt:\n%s\n' "$missing"
    return 1
  fi
}

verify_shellcheck() {
  if ! command -v shellcheck >/dev/null; then
    echo "shellcheck is not installed; install the package of that name (apt-get install shellcheck)"
    return 1
  fi
  local scripts
  mapfile -t scripts < <(find . -path ./_output -prune -o -name '*.sh' -print)
  shellcheck .ci/run cmd/kubectl-batchgate/kubectl_complete-batchgate "${scripts[@]}"
}

# verify_length only warns, because there can be good reasons for a long file.
verify_length() {
  find cmd pkg test -name '*.go' -not -path 'pkg/generated/*' -not -name 'zz_generated.*' -exec wc -l {} + |
    awk '$2 != "total" && $1 > 350 {print "warning: " $2 " has " $1 " lines; consider splitting it"}'
}

# verify_modules fails if a go.mod file is not tidy or has a replace directive, which "go
# install" and importers of the module would ignore.
verify_modules() {
  local directory failed=0
  for directory in . test hack/tools/*; do
    if ! go -C "$directory" mod tidy -diff; then
      echo "not tidy, run: go -C $directory mod tidy"
      failed=1
    fi
    # The test module replaces the module under test.
    if grep -E '^replace\b' "$directory/go.mod" | grep -vxF 'replace github.com/batchgate/batchgate => ../'; then
      echo "$directory/go.mod may not have this replace directive"
      failed=1
    fi
  done
  # Otherwise the tests would run the product with dependencies that differ from its own.
  if ! join -j 1 -o 0,1.2,2.2 <(module_versions .) <(module_versions test) |
    awk '$2 != $3 {print $1 " is " $2 " in go.mod and " $3 " in test/go.mod"; status = 1} END {exit status}'; then
    failed=1
  fi
  return "$failed"
}

# module_versions DIRECTORY prints the path and version of each required module.
module_versions() {
  go -C "$1" list -m -f '{{if .Version}}{{.Path}} {{.Version}}{{end}}' all | LC_ALL=C sort
}

# verify_imports fails if a package imports one of a higher layer. Tests may import any package.
verify_imports() {
  local module imports failed=0
  module=$(go list -m)
  # shellcheck disable=SC2016 # template variables
  imports=$(go list -f '{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}' ./... | sed "s|$module/||g")
  only 'pkg/fieldpolicy' 'pkg/registry/batch/job' 'pkg/apis/policy/validation' 'pkg/controller/jobupdatepolicy' 'pkg/registry/policy/jobupdatepolicy' 'pkg/registry/policy/jobupdatereview' 'pkg/apiserver' 'pkg/plugin/policytest'
  only 'pkg/fieldpolicy/fieldpath' 'pkg/fieldpolicy' 'pkg/registry/batch/job' 'pkg/apis/policy/validation' 'pkg/registry/policy/jobupdatereview' 'pkg/plugin/suggest' 'cmd/kubectl-batchgate/*'
  only 'pkg/registry/batch/job' 'pkg/registry/batch/job/storage' 'pkg/registry/policy/jobupdatereview' 'pkg/apiserver'
  only 'pkg/registry/*/rest' 'pkg/apiserver'
  only 'pkg/controller/jobupdatepolicy' 'pkg/apiserver'
  only 'pkg/controller/jobupdatepolicy/bootstrappolicy' 'pkg/controller/jobupdatepolicy' 'pkg/registry/policy/jobupdatepolicy' 'pkg/apiserver' 'pkg/plugin/policytest'
  only 'pkg/plugin/steps' 'pkg/plugin/takeover' 'pkg/plugin/migration' 'pkg/plugin/certs' 'cmd/kubectl-batchgate/*'
  only 'pkg/plugin/cluster' 'pkg/plugin/cluster/fake' 'pkg/plugin/takeover' 'pkg/plugin/migration' 'pkg/plugin/certs' 'cmd/kubectl-batchgate/*'
  only 'pkg/plugin/cluster/fake' 'tests'
  only 'pkg/plugin/takeover' 'pkg/plugin/migration' 'cmd/kubectl-batchgate/*'
  only 'pkg/plugin/migration' 'cmd/kubectl-batchgate/*'
  only 'pkg/plugin/certs' 'cmd/kubectl-batchgate/*'
  only 'pkg/plugin/suggest' 'cmd/kubectl-batchgate/*'
  only 'pkg/plugin/policytest' 'cmd/kubectl-batchgate/*'
  only 'pkg/apiserver' 'pkg/apiserver/options' 'cmd/*'
  only 'pkg/apiserver/options' 'cmd/*'
  only 'pkg/apiserver/authentication' 'pkg/apiserver/authorization' 'pkg/apiserver/options'
  only 'pkg/apiserver/bodylimit' 'pkg/apiserver/filters'
  only 'pkg/apiserver/filters' 'pkg/apiserver/authentication' 'pkg/apiserver/options'
  only 'pkg/apiserver/authorization' 'pkg/apiserver/options'
  only 'pkg/apiserver/admission' 'pkg/apiserver/options'
  only 'pkg/apiserver/storage' 'pkg/apiserver/options'
  only 'pkg/apiserver/openapi' 'pkg/apiserver/options'
  only 'pkg/apiserver/metrics' 'pkg/apiserver/authentication' 'pkg/apiserver/options'
  only 'pkg/apiserver/connection' 'pkg/apiserver/options'
  only 'pkg/standalone' 'cmd/batchgate-apiserver/*'
  only 'go.etcd.io/etcd/server/*' 'pkg/embeddedetcd'
  only 'go.etcd.io/etcd/etcdutl/*' 'pkg/embeddedetcd'
  only 'test/*' 'test/*'
  # Tests cannot detect a missing import on a machine that has the time zone database and the
  # public CAs.
  local embedded
  for embedded in time/tzdata golang.org/x/crypto/x509roots/fallback; do
    if ! go list -deps ./cmd/batchgate-apiserver | grep -xF "$embedded" >/dev/null; then
      echo "cmd/batchgate-apiserver must import $embedded, because the image contains only the binary"
      failed=1
    fi
  done
  # The policy engine may not depend on servers or clients, not even indirectly. The API types
  # may not either, because clients import them. Upstream's conversions of Jobs, which the engine
  # uses, depend on the definitions of feature gates.
  local gates='k8s.io/(apiserver/pkg/util/feature|apiserver/pkg/features|client-go/features)'
  if go list -deps ./pkg/fieldpolicy | grep -E "^(k8s.io/(apiserver|client-go)|$module)/" |
    grep -vxE "$module/pkg/(fieldpolicy|fieldpolicy/fieldpath|apis/policy|apis/policy/v1alpha1)|$gates"; then
    echo "pkg/fieldpolicy must not depend on the packages above"
    failed=1
  fi
  if go list -deps ./pkg/apis/policy/v1alpha1 ./pkg/generated/clientset/versioned |
    grep -E "^k8s.io/(apiserver|kubernetes)/"; then
    echo "the API types and the generated clients must not depend on the packages above"
    failed=1
  fi
  # The plugin contains the policy engine, but no server.
  if go list -deps ./cmd/kubectl-batchgate | grep -E "^k8s.io/apiserver/" | grep -vxE "$gates"; then
    echo "the plugin must not depend on the packages above"
    failed=1
  fi
  return "$failed"
}

# only IMPORTED IMPORTER... sets failed if a package that matches IMPORTED is imported by one
# that matches no IMPORTER. All arguments are patterns. It reads the variable imports.
only() {
  local pattern=$1 importer imported allowed
  shift
  while read -r importer imported; do
    # shellcheck disable=SC2053 # patterns
    [[ $imported == $pattern ]] || continue
    for allowed in "$@"; do
      # shellcheck disable=SC2053
      [[ $importer != $allowed ]] || continue 2
    done
    echo "$importer imports $imported, which only these may import: $*"
    failed=1
  done <<<"$imports"
}

# verify_manifests compares the rendered base and overlays with golden files, so that reviews
# show every change of what is installed.
verify_manifests() {
  local tools directory rendered_with images
  tools=$(hack/build-tools.sh kubectl)
  for directory in artifacts/base artifacts/overlays/*; do
    golden "test/golden/$(basename "$directory").yaml" "$("$tools/kubectl" kustomize "$directory")"
  done
  # Kustomize accepts components only inside the directory tree of their kustomization.
  rendered_with=$(mktemp -d)
  # shellcheck disable=SC2064 # expands now
  trap "rm -rf '$rendered_with'" RETURN
  cp -r artifacts "$rendered_with"
  mkdir "$rendered_with/deploy"
  printf '%s\n' 'resources: [../artifacts/base]' 'components: [../artifacts/components/audit]' >"$rendered_with/deploy/kustomization.yaml"
  if ! "$tools/kubectl" kustomize "$rendered_with/deploy" | grep -xF "        - --audit-log-path=-" >/dev/null; then
    echo "artifacts/components/audit does not add its flags to artifacts/base"
    return 1
  fi
  # Rendered alone, because the component does not change the base.
  printf '%s\n' 'components: [../artifacts/components/cert-manager]' >"$rendered_with/deploy/kustomization.yaml"
  golden test/golden/cert-manager.yaml "$("$tools/kubectl" kustomize "$rendered_with/deploy")"
  local promql
  promql=$(hack/build-tools.sh -m promql)/promql
  if ! "$tools/kubectl" kustomize test/framework/monitoring | "$promql" check; then
    echo "artifacts/components/monitoring has rules that Prometheus rejects, or objects that its operator rejects"
    return 1
  fi
  # The static Pod is not part of a kustomization.
  images=$(grep -rhoE 'image: batchgate-apiserver.*' test/golden artifacts/overlays/*/static-pod.yaml | sort -u)
  if [[ $images != "image: batchgate-apiserver:v$(<VERSION)" ]]; then
    printf 'all images in artifacts must have the version in VERSION, %s:\n%s\n' "$(<VERSION)" "$images"
    return 1
  fi
}

# verify_chart lints the packaged Helm chart with each topology, and runs its tests that need no
# cluster. They compare what it renders with the kustomizations.
verify_chart() {
  local helm package topology values output
  helm=$(hack/build-tools.sh -m helm)
  package=$(mktemp -d)
  # shellcheck disable=SC2064 # expands now
  trap "rm -rf '$package'" RETURN
  if ! output=$("$helm/helm" package --destination "$package" artifacts/chart 2>&1); then
    echo "$output"
    return 1
  fi
  for topology in base batch-etcd dedicated-etcd shared-etcd standalone; do
    values=topology=$topology
    if [[ $topology == base || $topology == batch-etcd ]]; then
      values+=',etcd.servers={https://10.0.0.21:2379}'
    fi
    "$helm/helm" lint --strict --quiet --namespace batchgate-system --set "$values" "$package"/*.tgz
    "$helm/helm3" lint --strict --quiet --namespace batchgate-system --set "$values" "$package"/*.tgz
  done
  # -count=1: Go's test cache does not know that the tests depend on the chart.
  if ! output=$(go -C test test -count=1 ./chart 2>&1); then
    echo "$output"
    return 1
  fi
}

# golden FILE CONTENT compares a file with its expected content, or updates it.
golden() {
  if [[ -n ${UPDATE_GOLDEN:-} ]]; then
    mkdir -p "$(dirname "$1")"
    echo "$2" >"$1"
  fi
  if ! diff -u "$1" <(echo "$2"); then
    echo "the rendered manifests changed; if that is intended, run: UPDATE_GOLDEN=1 hack/verify.sh manifests"
    return 1
  fi
}

# verify_docs fails if a link of a Markdown page does not resolve, if README.md is too long or has
# numbers without a source, if docs/generated/faults.md is out of date or names a test or commit
# that does not exist (hack/tools/docs), if the docs name a test that does not exist (names may be
# abbreviated at the end), or if docs/concepts/cost.md quotes a figure that
# docs/generated/performance.md does not have.
verify_docs() {
  local log name figures figure failed=0
  if ! log=$(go -C hack/tools/docs test . 2>&1); then
    echo "$log"
    failed=1
  fi
  "$(hack/build-tools.sh -m docs)/docs" . || failed=1
  for name in $(grep -rohE --include='*.md' '`Test[A-Za-z0-9_]+' README.md docs | tr -d '`' | sort -u); do
    if ! grep -rqE "^func $name" --include=*_test.go cmd pkg test; then
      echo "the docs name the test $name, which does not exist"
      failed=1
    fi
  done
  figures=$(numbers <docs/generated/performance.md)
  while read -r figure; do
    if ! grep -qxF "$figure" <<<"$figures"; then
      echo "docs/concepts/cost.md quotes the figure $figure, which docs/generated/performance.md does not have"
      failed=1
    fi
  done < <(numbers <docs/concepts/cost.md)
  return "$failed"
}

# numbers prints the numbers in a Markdown text, except those in code, in the targets of links and in
# names such as v1.
numbers() {
  # shellcheck disable=SC2016 # code in backquotes
  sed -E 's/`[^`]*`//g; s/\]\([^)]*\)/]/g' | grep -oE '\b[0-9][0-9.,]*' | sed -E 's/[.,]+$//' | sort -u
}

# verify_reference generates the reference pages into another directory and compares.
verify_reference() {
  local generated page failed=0
  generated=$(mktemp -d)
  # shellcheck disable=SC2064 # expands now
  trap "rm -rf '$generated'" RETURN
  go run ./hack/reference "$generated"
  for page in "$generated"/*; do
    diff -u "docs/reference/$(basename "$page")" "$page" || failed=1
  done
  if [[ $failed -ne 0 ]]; then
    echo "the reference pages are out of date, run: make generate"
  fi
  return "$failed"
}

# verify_workflows checks the workflows of GitHub, and the shell commands in them.
verify_workflows() {
  "$(hack/build-tools.sh -m ci actionlint)/actionlint"
}

# verify_codegen runs the generators on a copy and compares.
verify_codegen() {
  local copy
  copy=$(mktemp -d)
  # shellcheck disable=SC2064 # expands now
  trap "rm -rf '$copy'" RETURN
  cp -r go.mod go.sum hack pkg cmd "$copy"
  if ! "$copy/hack/update-codegen.sh" >"$copy/log" 2>&1; then
    cat "$copy/log"
    return 1
  fi
  local directory failed=0
  for directory in pkg hack; do
    diff -r "$directory" "$copy/$directory" || failed=1
  done
  if [[ $failed -ne 0 ]]; then
    echo "generated code is out of date, run: make generate"
  fi
  return "$failed"
}

# verify_lint runs golangci-lint over all modules with Go code.
verify_lint() {
  local linter directory failed=0
  linter=$(hack/build-tools.sh -m lint golangci-lint)/golangci-lint
  for directory in . test hack/tools/docs hack/tools/promql hack/tools/release; do
    (cd "$directory" && "$linter" run --allow-parallel-runners --config "$root/.golangci.yaml") || failed=1
  done
  return "$failed"
}

# verify_language checks the wording of Go comments, Markdown and YAML and the spelling of Markdown
# against the rules in hack/vale, and searches everything else for a few words. The exceptions
# quote other programs.
verify_language() {
  local vale files failed=0
  local words='refus|verdict|whoever|made anew|without a word'
  if git grep --untracked -nIiE "$words" -- ':!*.sum' ':!hack/vale' ':!hack/verify.sh' |
    sed -E 's/(connection refused|ECONNREFUSED)//Ig' | grep -iE "$words"; then
    echo "reword the lines above; hack/vale has the words to use"
    failed=1
  fi
  vale=$(hack/build-tools.sh -m lint vale)/vale
  mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.go' '*.md' '*.yaml' ':!pkg/generated' ':!*zz_generated*')
  "$vale" --minAlertLevel=error --output=line "${files[@]}" || failed=1
  return "$failed"
}

# verify_clean fails if a check changed the work tree.
verify_clean() {
  diff <(printf '%s' "$before") <(printf '%s' "$(tree_state)")
}

# tree_state prints how the work tree differs from the commit; nothing without git.
tree_state() {
  { git status --porcelain && git diff HEAD; } 2>/dev/null || true
}

before=$(tree_state)
failed=()
for check in "${@:-${all[@]}}"; do
  if ! declare -F "verify_$check" >/dev/null; then
    echo "no check $check; the checks are: ${all[*]}" >&2
    exit 2
  fi
  began=$SECONDS
  # set -e has no effect in conditions.
  set +e
  (set -e; "verify_$check")
  status=$?
  set -e
  result=ok
  if [[ $status -ne 0 ]]; then
    result=FAILED
    failed+=("$check")
  fi
  printf '%-6s  %-12s %3d s\n' "$result" "$check" $((SECONDS - began))
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
