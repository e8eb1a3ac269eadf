#!/usr/bin/env bash
# Checks what the compiler and the tests do not. Runs all checks, or those that are named,
# prints a line for each, and fails at the end if one of them has failed. Nothing in the
# work tree is changed, unless
#
#   UPDATE_GOLDEN=1   writes test/golden/*.yaml instead of comparing with them
#
# Usage: hack/verify.sh [CHECK...]   (a function below, without its verify_)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The quick ones first; clean last, since it looks at what the others have left.
all=(gofmt shellcheck length docs modules imports manifests codegen vet staticcheck clean)

verify_gofmt() {
  local unformatted
  unformatted=$(gofmt -l artifacts cmd hack pkg test)
  if [[ -n $unformatted ]]; then
    printf 'not formatted, run make fmt:\n%s\n' "$unformatted"
    return 1
  fi
}

verify_shellcheck() {
  if ! command -v shellcheck >/dev/null; then
    echo "shellcheck is not installed; it is in the package of that name (apt-get install shellcheck)"
    return 1
  fi
  local scripts
  mapfile -t scripts < <(find . -path ./_output -prune -o -name '*.sh' -print)
  shellcheck .ci/run "${scripts[@]}"
}

# verify_length only warns: a long file may have its reasons.
verify_length() {
  find cmd pkg test -name '*.go' -not -path 'pkg/generated/*' -not -name 'zz_generated.*' -exec wc -l {} + |
    awk '$2 != "total" && $1 > 350 {print "warning: " $2 " has " $1 " lines; should it be two files?"}'
}

# verify_modules keeps all go.mod files tidy and without replace directives, which would
# not hold for whoever imports the module or runs go install on it.
verify_modules() {
  local directory failed=0
  for directory in . test hack/tools/*; do
    if ! go -C "$directory" mod tidy -diff; then
      echo "not tidy, run: go -C $directory mod tidy"
      failed=1
    fi
    # The tests replace the module that they test, and nothing else.
    if grep -E '^replace\b' "$directory/go.mod" | grep -vxF 'replace github.com/batchgate/batchgate => ../'; then
      echo "$directory/go.mod must do without replace"
      failed=1
    fi
  done
  return "$failed"
}

# verify_imports holds the packages to the one direction that data flows in. Tests may
# import what they like.
verify_imports() {
  local module imports failed=0
  module=$(go list -m)
  # shellcheck disable=SC2016 # those are variables of the template
  imports=$(go list -f '{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}' ./... | sed "s|$module/||g")
  only 'pkg/fieldpolicy' 'pkg/registry/batch/job' 'pkg/apis/policy/validation' 'pkg/controller/jobupdatepolicy' 'pkg/registry/policy/jobupdatepolicy' 'pkg/apiserver'
  only 'pkg/registry/batch/job' 'pkg/registry/batch/job/storage' 'pkg/apiserver'
  only 'pkg/registry/*/rest' 'pkg/apiserver'
  only 'pkg/controller/*' 'pkg/apiserver'
  only 'pkg/plugin/steps' 'pkg/plugin/takeover' 'pkg/plugin/migration' 'pkg/plugin/certs' 'cmd/kubectl-batchgate/*'
  only 'pkg/plugin/cluster' 'pkg/plugin/cluster/fake' 'pkg/plugin/takeover' 'pkg/plugin/migration' 'pkg/plugin/certs' 'cmd/kubectl-batchgate/*'
  only 'pkg/plugin/cluster/fake' 'tests'
  only 'pkg/plugin/takeover' 'pkg/plugin/migration' 'cmd/kubectl-batchgate/*'
  only 'pkg/plugin/migration' 'cmd/kubectl-batchgate/*'
  only 'pkg/plugin/certs' 'cmd/kubectl-batchgate/*'
  only 'pkg/apiserver' 'pkg/apiserver/options' 'cmd/*'
  only 'pkg/apiserver/options' 'cmd/*'
  only 'pkg/apiserver/authentication' 'pkg/apiserver/authorization' 'pkg/apiserver/options'
  only 'pkg/apiserver/filters' 'pkg/apiserver/authentication' 'pkg/apiserver/options'
  only 'pkg/apiserver/authorization' 'pkg/apiserver/options'
  only 'pkg/apiserver/admission' 'pkg/apiserver/options'
  only 'pkg/apiserver/storage' 'pkg/apiserver/options'
  only 'pkg/apiserver/openapi' 'pkg/apiserver/options'
  only 'pkg/apiserver/metrics' 'pkg/apiserver/options'
  only 'pkg/standalone' 'cmd/batchgate-apiserver/*'
  only 'go.etcd.io/etcd/server/*' 'pkg/embeddedetcd'
  only 'go.etcd.io/etcd/etcdutl/*' 'pkg/embeddedetcd'
  only 'test/*' 'test/*'
  # On a machine with time zones no test would miss them.
  if ! go list -deps ./cmd/batchgate-apiserver | grep -x time/tzdata >/dev/null; then
    echo "cmd/batchgate-apiserver must import time/tzdata: CronJobs name time zones, and the image has none"
    failed=1
  fi
  # The engine is pure: not even through another package does it reach a server or a client.
  # Nor do the types of the policies, which are for clients too.
  if go list -deps ./pkg/fieldpolicy | grep -E "^(k8s.io/(apiserver|client-go)|$module)/" |
    grep -vxE "$module/pkg/(fieldpolicy|apis/policy|apis/policy/v1alpha1)"; then
    echo "pkg/fieldpolicy must not depend on the packages above"
    failed=1
  fi
  if go list -deps ./pkg/apis/policy/v1alpha1 ./pkg/generated/clientset/versioned ./cmd/kubectl-batchgate |
    grep -E "^k8s.io/(apiserver|kubernetes)/"; then
    echo "the types and clients of pkg/apis, and the plugin, must not depend on the packages above"
    failed=1
  fi
  return "$failed"
}

# only IMPORTED IMPORTER... sets failed, and says why, if a package that matches none of
# the patterns IMPORTER imports one that matches IMPORTED. It reads imports.
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
    echo "$importer imports $imported, which is for $* only"
    failed=1
  done <<<"$imports"
}

# verify_manifests compares the rendered base and overlays with the golden files, so that a
# change of what is installed is seen in review.
verify_manifests() {
  local tools directory rendered_with images
  tools=$(hack/build-tools.sh kubectl)
  for directory in artifacts/base artifacts/overlays/*; do
    golden "test/golden/$(basename "$directory").yaml" "$("$tools/kubectl" kustomize "$directory")"
  done
  # Kustomize knows components in resources of their own only.
  rendered_with=$(mktemp -d)
  # shellcheck disable=SC2064 # the value of now
  trap "rm -rf '$rendered_with'" RETURN
  cp -r artifacts "$rendered_with"
  mkdir "$rendered_with/deploy"
  printf '%s\n' 'resources: [../artifacts/base]' 'components: [../artifacts/components/audit]' >"$rendered_with/deploy/kustomization.yaml"
  if ! "$tools/kubectl" kustomize "$rendered_with/deploy" | grep -xF "        - --audit-log-path=-" >/dev/null; then
    echo "artifacts/components/audit does not add its flags to artifacts/base"
    return 1
  fi
  # By itself: it changes nothing of the base.
  printf '%s\n' 'components: [../artifacts/components/cert-manager]' >"$rendered_with/deploy/kustomization.yaml"
  golden test/golden/cert-manager.yaml "$("$tools/kubectl" kustomize "$rendered_with/deploy")"
  local promql
  promql=$(hack/build-tools.sh -m promql)/promql
  if ! "$tools/kubectl" kustomize test/framework/monitoring | "$promql" check; then
    echo "artifacts/components/monitoring has rules that Prometheus, or objects that its operator, would not take"
    return 1
  fi
  # Static Pods are not rendered.
  images=$(grep -rhoE 'image: batchgate-apiserver.*' test/golden artifacts/overlays/*/static-pod.yaml | sort -u)
  if [[ $images != "image: batchgate-apiserver:v$(<VERSION)" ]]; then
    printf 'the image of artifacts/base and overlays is not that of VERSION, %s, everywhere:\n%s\n' "$(<VERSION)" "$images"
    return 1
  fi
}

# golden FILE CONTENT compares the file with the content, or writes it.
golden() {
  if [[ -n ${UPDATE_GOLDEN:-} ]]; then
    mkdir -p "$(dirname "$1")"
    echo "$2" >"$1"
  fi
  if ! diff -u "$1" <(echo "$2"); then
    echo "the rendered manifests changed; if that is meant, run: UPDATE_GOLDEN=1 hack/verify.sh manifests"
    return 1
  fi
}

# verify_docs fails if the docs name a test that there is not (a name may be cut, with dots), or
# have other figures of the goals than the benchmark.
verify_docs() {
  local name row failed=0
  for name in $(grep -ohE '`Test[A-Za-z0-9_]+' README.md docs/*.md | tr -d '`' | sort -u); do
    if ! grep -rqE "^func $name" --include=*_test.go cmd pkg test; then
      echo "the docs name $name, and there is no such test"
      failed=1
    fi
  done
  while read -r row; do
    if ! grep -qF "$row" docs/benchmarks.md; then
      echo "docs/benchmarks.md has not this row of docs/benchmarks/results.md: $row"
      failed=1
    fi
  done < <(sed -n '/^###/q; /^| figure /d; /^| ---/d; /^| /p' docs/benchmarks/results.md)
  return "$failed"
}

# verify_codegen generates into a copy, and compares.
verify_codegen() {
  local copy
  copy=$(mktemp -d)
  # shellcheck disable=SC2064 # the value of now
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

verify_vet() {
  go vet ./...
  go -C test vet ./...
  go -C hack/tools/promql vet ./...
}

verify_staticcheck() {
  local tools found status=0
  tools=$(hack/build-tools.sh staticcheck)
  found=$("$tools/staticcheck" ./...) || status=$?
  # metadata.selfLink is deprecated upstream, and served here all the same.
  # Generated clients use names that the generated types call deprecated.
  found=$(grep -vE 'SelfLink is deprecated|(^|/)pkg/generated/.*(SchemeGroupVersion|AddToScheme) is deprecated' <<<"$found") || true
  echo -n "${found:+$found$'\n'}"
  # It ends with 1 for what it has found, with more if it could not look.
  [[ -z $found && $status -le 1 ]]
}

# verify_clean fails if a check has left or changed a file.
verify_clean() {
  diff <(printf '%s' "$before") <(printf '%s' "$(tree_state)")
}

# tree_state prints what tells the work tree from the commit; nothing where there is no git.
tree_state() {
  { git status --porcelain && git diff HEAD; } 2>/dev/null || true
}

before=$(tree_state)
failed=()
for check in "${@:-${all[@]}}"; do
  if ! declare -F "verify_$check" >/dev/null; then
    echo "there is no check $check; there are: ${all[*]}" >&2
    exit 2
  fi
  began=$SECONDS
  # Not in a condition, where set -e would be without effect.
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
