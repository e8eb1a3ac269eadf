#!/usr/bin/env bash
# Copyright The Batchgate Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds everything that a release publishes, in _output/release (with PLATFORMS: _output/release-test):
#
#   install.yaml, install-TOPOLOGY.yaml   the rendered base and overlays
#   shared-etcd-static-pod.yaml           the static Pod of the topology shared-etcd
#   apiservice-policy.yaml, takeover-patch.yaml, rollback-patch.yaml, rollback-apiservice.yaml
#   components.tar.gz, examples.tar.gz    kustomize components, example policies
#   batchgate-VERSION.tgz                 the Helm chart
#   kubectl-batchgate_vVERSION_OS_ARCH.*  the kubectl plugin
#   batchgate.yaml                        the plugin's krew manifest
#   batchgate-apiserver_vVERSION_oci.tar  the image for linux/amd64 and linux/arm64, an OCI image layout
#   *.cdx.json                            a software bill of materials for each binary
#   licenses.tar.gz                       the licenses of the dependencies
#   SHA256SUMS
#
# The files depend only on the commit and the Go version: hack/verify-release.sh builds them
# again in another directory and compares. Needs git, zip and GNU tar.
#
# "push" pushes the image that was built. To log in to the registry, use "crane auth login" or
# "docker login"; "hack/build-tools.sh -m release crane" prints the directory with crane.
#
#   PLATFORMS          build only for these, such as linux/amd64, for tests; default: all
#   IMAGE_REPOSITORY   repository of the image, in the manifests and for push;
#                      default ghcr.io/batchgate/batchgate-apiserver
#
# Usage: hack/release.sh VERSION       (VERSION must be the content of the file VERSION)
#        hack/release.sh push VERSION
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The environment must not change the result.
export LC_ALL=C TZ=UTC CGO_ENABLED=0 GOFLAGS=-trimpath
unset GOOS GOARCH GOAMD64 GOARM64 GOEXPERIMENT GIT_COMMIT GIT_TREE_STATE
umask 022

project=https://github.com/batchgate/batchgate
repository=${IMAGE_REPOSITORY:-ghcr.io/batchgate/batchgate-apiserver}
output=$PWD/_output/release
plugin_platforms=({linux,darwin,windows}/{amd64,arm64})
image_platforms=(linux/{amd64,arm64})
if [[ -n ${PLATFORMS:-} ]]; then
  output=$PWD/_output/release-test
  read -ra plugin_platforms <<<"$PLATFORMS"
  read -ra image_platforms <<<"$PLATFORMS"
fi

# archive FILE DIRECTORY NAME... packs files of a directory into a tar file; its bytes depend
# only on the names, the content and which files are executable.
archive() {
  local compress=cat
  if [[ $1 == *gz ]]; then
    compress="gzip -9 -n"
  fi
  tar --create --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --mode=u=rwX,go=rX --directory="$2" -- "${@:3}" | $compress >"$1"
}

# rename_paths FILE... replaces paths of this repository with paths in the release.
rename_paths() {
  sed -i -E \
    -e 's#artifacts/base($|[^/])#install.yaml\1#g' \
    -e "s#artifacts/base/#$project/blob/v$version/artifacts/base/#g" \
    -e 's#artifacts/overlays/([a-z-]+)#install-\1.yaml#g' \
    -e 's#artifacts/apiservice/policy/apiservice\.yaml#apiservice-policy.yaml#g' \
    -e 's#artifacts/apiservice/rollback/apiservice\.yaml#rollback-apiservice.yaml#g' \
    -e 's#artifacts/apiservice/(takeover|rollback)(/patch\.yaml)?#\1-patch.yaml#g' \
    -e 's#artifacts/(components|examples)/#\1/#g' \
    "$@"
}

build_manifests() {
  local kubectl directory name tree=$stage/manifests
  kubectl=$(hack/build-tools.sh kubectl)/kubectl
  mkdir -p "$tree/release"
  cp -r artifacts "$tree"
  for directory in base overlays/{shared-etcd,batch-etcd,dedicated-etcd,standalone}; do
    name=install-${directory#overlays/}
    name=${name%-base}
    cat >"$tree/release/kustomization.yaml" <<END
resources: [../artifacts/$directory]
images: [{name: batchgate-apiserver, newName: $repository, newTag: v$version}]
END
    echo "# Batchgate v$version. How to use this file: $project/blob/v$version/docs/tasks/$name.md" >"$output/$name.yaml"
    "$kubectl" kustomize "$tree/release" >>"$output/$name.yaml"
  done

  cp artifacts/overlays/shared-etcd/static-pod.yaml "$output/shared-etcd-static-pod.yaml"
  sed -i "s#image: batchgate-apiserver:.*#image: $repository:v$version#" "$output/shared-etcd-static-pod.yaml"
  cp artifacts/apiservice/policy/apiservice.yaml "$output/apiservice-policy.yaml"
  cp artifacts/apiservice/takeover/patch.yaml "$output/takeover-patch.yaml"
  cp artifacts/apiservice/rollback/patch.yaml "$output/rollback-patch.yaml"
  cp artifacts/apiservice/rollback/apiservice.yaml "$output/rollback-apiservice.yaml"
  rename_paths "$output"/*.yaml

  # The component cert-manager refers to the APIService of the policies. The program among the
  # examples is not packed, because it needs the module around it.
  mkdir "$tree/components"
  cp -r artifacts/components "$tree/components"
  mkdir "$tree/components/apiservice"
  cp -r artifacts/apiservice/policy "$tree/components/apiservice"
  rm -r "$tree/artifacts/examples/policy-client"
  find "$tree/components" "$tree/artifacts/examples" -name '*.yaml' -print0 | while IFS= read -rd '' name; do
    rename_paths "$name"
  done
  archive "$output/components.tar.gz" "$tree/components" apiservice components
  archive "$output/examples.tar.gz" "$tree/artifacts" examples
}

# build_chart packs the chart again, because Helm's archive contains the time of the build.
build_chart() {
  local helm
  if [[ ! -d artifacts/chart ]]; then
    echo "skipped the chart, because artifacts/chart does not exist" >&2
    return
  fi
  helm=$(hack/build-tools.sh -m helm helm)/helm
  mkdir "$stage/chart"
  cp -rL artifacts/chart "$stage/chart/batchgate" # follows the links to other files of artifacts
  sed -i -E "s#^(  repository: ).*/batchgate-apiserver\$#\1$repository#" "$stage/chart/batchgate/values.yaml"
  "$helm" package "$stage/chart/batchgate" --version "$version" --app-version "$version" --destination "$stage/chart" >/dev/null
  rm -r "$stage/chart/batchgate"
  tar --extract --file="$stage/chart/batchgate-$version.tgz" --directory="$stage/chart"
  archive "$output/batchgate-$version.tgz" "$stage/chart" batchgate
}

plugin_binary() {
  case $1 in
  windows/*) echo kubectl-batchgate.exe ;;
  *) echo kubectl-batchgate ;;
  esac
}

build_plugins() {
  local platform directory binary name
  for platform in "${plugin_platforms[@]}"; do
    name=kubectl-batchgate_v${version}_${platform/\//_}
    directory=$stage/$name
    binary=$(plugin_binary "$platform")
    GOOS=${platform%/*} GOARCH=${platform#*/} hack/build.sh "$directory/$binary" ./cmd/kubectl-batchgate >/dev/null
    cp LICENSE "$directory"
    if [[ $platform == windows/* ]]; then
      chmod u=rwX,go=rX "$directory"/* # as archive does; the modes in a clone depend on the umask
      touch --date="@$SOURCE_DATE_EPOCH" "$directory"/*
      (cd "$directory" && zip -q -9 -X "$output/$name.zip" LICENSE "$binary")
    else
      cp cmd/kubectl-batchgate/kubectl_complete-batchgate "$directory"
      archive "$output/$name.tar.gz" "$directory" LICENSE "$binary" kubectl_complete-batchgate
    fi
    bill_of_materials "$directory/$binary" "$name"
  done
}

# write_krew_manifest needs the plugin archives.
write_krew_manifest() {
  local platform file
  cat <<END
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: batchgate
spec:
  version: v$version
  homepage: $project
  shortDescription: Gate updates of Jobs with Batchgate
  description: |
    Installs the certificates of Batchgate, an API server that decides which
    fields of a Job may be updated. Takes over batch/v1 from kube-apiserver,
    rolls back, and shows the status.
  platforms:
END
  for platform in "${plugin_platforms[@]}"; do
    file=$(cd "$output" && echo "kubectl-batchgate_v${version}_${platform/\//_}".*[pz])
    cat <<END
  - selector:
      matchLabels:
        os: ${platform%/*}
        arch: ${platform#*/}
    uri: $project/releases/download/v$version/$file
    sha256: $(sha256sum "$output/$file" | cut -d' ' -f1)
    bin: $(plugin_binary "$platform")
END
  done
}

build_image() {
  local release platform name images=()
  release=$(hack/build-tools.sh -m release release)/release
  for platform in "${image_platforms[@]}"; do
    name=batchgate-apiserver_v${version}_${platform/\//_}
    GOOS=${platform%/*} GOARCH=${platform#*/} hack/build.sh "$stage/$name" >/dev/null
    bill_of_materials "$stage/$name" "$name"
    images+=("$platform=$stage/$name")
  done
  "$release" -name "$repository:v$version" -version "$version" -revision "$(git rev-parse HEAD)" \
    -created "$SOURCE_DATE_EPOCH" "$stage/image" "${images[@]}"
  archive "$output/batchgate-apiserver_v${version}_oci.tar" "$stage/image" blobs index.json oci-layout
}

# bill_of_materials BINARY NAME writes NAME.cdx.json, without the hashes of cyclonedx-gomod,
# which depend on the machine.
bill_of_materials() {
  "$(hack/build-tools.sh -m release cyclonedx-gomod)/cyclonedx-gomod" bin -json -std -noserial -notimestamp \
    -version "v$version" "$1" |
    sed '/"tools": \[/,/"component": {/{/"hashes": \[/,/\],$/d}' >"$output/$2.cdx.json"
}

# collect_licenses copies the license files of each package in the binaries, from the package's
# directory and the ones above it in the module.
collect_licenses() {
  local platform module root directory file
  shopt -s nullglob nocaseglob
  install -D -m 644 LICENSE "$stage/licenses/$(go list -m)@v$version/LICENSE"
  install -D -m 644 "$(go env GOROOT)/LICENSE" "$stage/licenses/go@$(go env GOVERSION)/LICENSE"
  for platform in "${plugin_platforms[@]}"; do
    dependencies "$platform" ./cmd/kubectl-batchgate
  done >"$stage/dependencies"
  for platform in "${image_platforms[@]}"; do
    dependencies "$platform" ./cmd/batchgate-apiserver
  done >>"$stage/dependencies"
  awk '{for (d = $3; length(d) >= length($2); sub("/[^/]*$", "", d)) print $1, $2, d}' "$stage/dependencies" |
    sort -u >"$stage/directories"
  while read -r module root directory; do
    for file in "$directory"/{licen[cs]e,copying,copyright,notice,patents,authors}*; do
      if [[ -f $file && $file != *.go ]]; then
        install -D -m 644 "$file" "$stage/licenses/$module/${file#"$root/"}"
      fi
    done
  done <"$stage/directories"
  while read -r module _; do
    if [[ ! -d $stage/licenses/$module ]]; then
      echo "$module has no license file" >&2
      return 1
    fi
  done <"$stage/directories"
  archive "$output/licenses.tar.gz" "$stage" licenses
}

# dependencies PLATFORM PACKAGE prints the module, its directory and the directory of each
# package of other modules in a binary.
dependencies() {
  # shellcheck disable=SC2016 # a template
  GOOS=${1%/*} GOARCH=${1#*/} go list -deps \
    -f '{{$package := .Dir}}{{with .Module}}{{if .Version}}{{.Path}}@{{.Version}} {{.Dir}} {{$package}}{{end}}{{end}}' "$2" | sed '/^$/d'
}

build() {
  local toolchain
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
  export SOURCE_DATE_EPOCH
  toolchain=$(sed -n 's/^toolchain //p' go.mod)
  if [[ $(go env GOVERSION) != "$toolchain" ]]; then
    echo "warning: go.mod names $toolchain; with $(go env GOVERSION) the checksums differ from the published release" >&2
  fi
  if [[ -n $(git status --porcelain) ]]; then
    echo "warning: the work tree differs from the commit; the binaries report the tree state dirty" >&2
  fi
  rm -rf "$output"
  mkdir -p "$output"
  build_manifests
  build_chart
  build_plugins
  write_krew_manifest >"$output/batchgate.yaml"
  build_image
  collect_licenses
  (cd "$output" && sha256sum -- * >"$stage/SHA256SUMS" && cp "$stage/SHA256SUMS" .)
  echo "$output"
}

push() {
  (cd "$output" && sha256sum --quiet --check SHA256SUMS)
  mkdir "$stage/image"
  tar --extract --file="$output/batchgate-apiserver_v${version}_oci.tar" --directory="$stage/image"
  "$(hack/build-tools.sh -m release crane)/crane" push "$stage/image" "$repository:v$version"
}

action=build
if [[ ${1:-} == push ]]; then
  action=push
  shift
fi
version=${1:?VERSION is missing; see the first lines of hack/release.sh}
if [[ $version != "$(<VERSION)" ]]; then
  echo "the version must be the content of the file VERSION, $(<VERSION); got $version" >&2
  exit 2
fi
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
"$action"
