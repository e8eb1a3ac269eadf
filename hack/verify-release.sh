#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Checks _output/release, which hack/release.sh has built from the current commit: a second
# build in another directory has the same checksums, and each file has the expected content. The
# image is pushed to a registry on the loopback interface and pulled from there. The first
# failed check ends the script.
#
# Usage: hack/verify-release.sh   (with the same IMAGE_REPOSITORY as for hack/release.sh)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CGO_ENABLED=0 GOFLAGS=-trimpath
version=$(<VERSION)
repository=${IMAGE_REPOSITORY:-ghcr.io/batchgate/batchgate-apiserver}
release=$PWD/_output/release
host=$(go env GOHOSTOS)/$(go env GOHOSTARCH)

fail() {
  echo "$*" >&2
  exit 1
}

# check_checksums also fails if the directory has files without a checksum.
check_checksums() {
  (cd "$release" && sha256sum --quiet --check SHA256SUMS)
  diff <(cd "$release" && find . -type f ! -name SHA256SUMS | sort) <(sed 's#.*  #./#' "$release/SHA256SUMS" | sort)
}

# check_manifests compares with the golden files, whose objects the end-to-end tests install.
check_manifests() {
  local topology file
  for topology in base shared-etcd batch-etcd dedicated-etcd standalone; do
    file=$release/install-$topology.yaml
    diff <(sed "s#image: batchgate-apiserver:#image: $repository:#" "test/golden/$topology.yaml") \
      <(tail -n +2 "${file/-base/}")
  done
  same_objects artifacts/overlays/shared-etcd/static-pod.yaml shared-etcd-static-pod.yaml
  same_objects artifacts/apiservice/policy/apiservice.yaml apiservice-policy.yaml
  same_objects artifacts/apiservice/takeover/patch.yaml takeover-patch.yaml
  same_objects artifacts/apiservice/rollback/patch.yaml rollback-patch.yaml
  same_objects artifacts/apiservice/rollback/apiservice.yaml rollback-apiservice.yaml
  if grep -n 'artifacts/' "$release"/*.yaml | grep -vF "/blob/v$version/artifacts/"; then
    fail "the lines above name files that are not in the release"
  fi
}

# same_objects SOURCE FILE fails if the files differ in more than comments and the image.
same_objects() {
  diff <(sed -E "s#image: batchgate-apiserver:#image: $repository:#; /^ *#/d" "$1") <(sed -E '/^ *#/d' "$release/$2")
}

# check_components uses the components as a user does, beside install.yaml.
check_components() {
  local kubectl expected directory=$stage/components
  kubectl=$(hack/build-tools.sh kubectl)/kubectl
  mkdir "$directory"
  cp "$release/install.yaml" "$directory"
  tar --extract --file="$release/components.tar.gz" --directory="$directory"
  cat >"$directory/kustomization.yaml" <<END
resources: [install.yaml]
components: [components/audit, components/cert-manager, components/events, components/kubectl-apply, components/monitoring]
END
  "$kubectl" kustomize "$directory" >"$stage/components.yaml"
  for expected in --audit-log-path=- --record-events 'name: batchgate-kubectl-apply' 'kind: Certificate' 'kind: PrometheusRule' "image: $repository:v$version"; do
    grep -F -- "$expected" "$stage/components.yaml" || fail "the rendered components lack $expected"
  done
  tar --list --file="$release/examples.tar.gz" | grep -x examples/policies/warn-all.yaml || fail "examples.tar.gz lacks warn-all.yaml"
}

check_chart() {
  local chart=$release/batchgate-$version.tgz helm
  if [[ ! -d artifacts/chart ]]; then
    echo "skipped the chart, because artifacts/chart does not exist"
    return
  fi
  helm=$(hack/build-tools.sh -m helm helm)/helm
  "$helm" template batchgate "$chart" --namespace=batchgate-system --set 'etcd.servers={https://192.0.2.1:2379}' |
    grep -F "$repository:v$version" || fail "the chart does not use the image $repository:v$version"
}

# check_plugins installs each archive with krew, which also verifies its checksum.
check_plugins() {
  local krew archive name directory binary
  krew=$(hack/build-tools.sh -m release krew validate-krew-manifest)
  "$krew/validate-krew-manifest" -manifest "$release/batchgate.yaml" -skip-install
  for archive in "$release"/kubectl-batchgate_*.{tar.gz,zip}; do
    name=$(basename "$archive")
    IFS=_. read -r _ _ _ _ os arch _ <<<"$name"
    directory=$stage/$name
    KREW_ROOT=$directory KREW_OS=$os KREW_ARCH=$arch KREW_NO_UPGRADE_CHECK=1 \
      "$krew/krew" install --manifest="$release/batchgate.yaml" --archive="$archive"
    directory+=/store/batchgate/v$version
    binary=$directory/kubectl-batchgate
    if [[ $os == windows ]]; then
      binary+=.exe
    fi
    diff LICENSE "$directory/LICENSE"
    check_binary "$binary" "$os/$arch"
  done
}

# check_binary FILE PLATFORM runs the binary if this machine can.
check_binary() {
  local information
  information=$(go version -m "$1")
  [[ $information == *GOARCH=${2#*/}* && $information == *GOOS=${2%/*}* ]] || fail "$1 is not built for $2"
  if [[ $2 == "$host" ]]; then
    [[ $("$1" --version) == *"+batchgate.$version"* ]] || fail "$1 --version does not print $version"
  fi
}

check_image() {
  local crane port image platform config directory expected
  crane=$(hack/build-tools.sh -m release crane)/crane
  "$crane" registry serve --address=127.0.0.1:0 2>"$stage/registry.log" &
  # shellcheck disable=SC2064 # expands now
  trap "kill $!" EXIT
  for _ in {1..100}; do
    port=$(sed -n 's/.*serving on port //p' "$stage/registry.log")
    [[ -z $port ]] || break
    sleep 0.1
  done
  [[ -n $port ]] || fail "the registry did not start"
  image=127.0.0.1:$port/batchgate-apiserver:v$version
  IMAGE_REPOSITORY=${image%:*} hack/release.sh push "$version"
  "$crane" validate --remote "$image"
  tar --extract --to-stdout --file="$release/batchgate-apiserver_v${version}_oci.tar" index.json |
    grep -F "$("$crane" digest "$image")" || fail "the pushed image is not the one in the release"
  for platform in linux/amd64 linux/arm64; do
    config=$("$crane" config --platform "$platform" "$image")
    # The Dockerfile describes the same image.
    for expected in "\"User\":\"$(sed -n 's/^USER //p' Dockerfile)\"" "\"Entrypoint\":$(sed -n 's/^ENTRYPOINT //p' Dockerfile)" \
      "\"architecture\":\"${platform#*/}\"" "\"org.opencontainers.image.version\":\"$version\"" \
      "\"org.opencontainers.image.revision\":\"$(git rev-parse HEAD)\""; do
      [[ $config == *"$expected"* ]] || fail "the image for $platform lacks $expected in $config"
    done
    diff <(grep -o 'org\.opencontainers[a-z.]*' Dockerfile | sort) <(grep -o 'org\.opencontainers[a-z.]*' <<<"$config" | sort)
    directory=$stage/$platform
    mkdir -p "$directory"
    "$crane" export --platform "$platform" "$image" - | tar --extract --directory="$directory"
    diff <(echo ./batchgate-apiserver) <(cd "$directory" && find . -type f)
    check_binary "$directory/batchgate-apiserver" "$platform"
    go version -m "$directory/batchgate-apiserver" | grep -F golang.org/x/crypto/x509roots/fallback || fail "the binary embeds no CAs"
  done
}

check_bills_of_materials() {
  local file expected
  for file in {batchgate-apiserver_v"$version"_linux,kubectl-batchgate_v"$version"_{linux,darwin,windows}}_{amd64,arm64}.cdx.json; do
    for expected in '"bomFormat": "CycloneDX"' pkg:golang/k8s.io/client-go@v pkg:golang/std@; do
      grep -F "$expected" "$release/$file" || fail "$file lacks $expected"
    done
  done
}

check_licenses() {
  local files expected
  files=$(tar --list --file="$release/licenses.tar.gz")
  for expected in go@go github.com/batchgate/batchgate@ k8s.io/client-go@ go.etcd.io/etcd/server/v3@ github.com/inconshreveable/mousetrap@; do
    grep "^licenses/$expected.*/LICENSE" <<<"$files" || fail "licenses.tar.gz lacks the license of $expected"
  done
}

# check_reproducible builds again with another path, umask and time zone.
check_reproducible() {
  local copy=$stage/another/directory
  (umask 077 && git clone --quiet "$PWD" "$copy" && TZ=Asia/Tokyo "$copy/hack/release.sh" "$version" >/dev/null)
  diff "$release/SHA256SUMS" "$copy/_output/release/SHA256SUMS"
}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
[[ -z $(git status --porcelain) ]] || fail "commit all changes first, because the second build uses the commit"
for check in checksums manifests components chart plugins image bills_of_materials licenses reproducible; do
  began=$SECONDS
  # set -e has no effect in conditions.
  set +e
  (set -e; "check_$check") >"$stage/$check.log" 2>&1
  status=$?
  set -e
  if [[ $status -ne 0 ]]; then
    cat "$stage/$check.log" >&2
    fail "FAILED  $check"
  fi
  printf 'ok      %-20s %3d s\n' "$check" $((SECONDS - began))
done
