# The release image (hack/tools/release) has the same content, user and labels.
#
# The version of Go is the toolchain in go.mod, so that the binary is the same as the released one.
FROM golang:1.26.8@sha256:6c2a5538f964f1c82f97ad14988bf05de100d922d159d0e398b54c7b0ca0c6c9 AS build
WORKDIR /src

# Modules are a separate layer, which code changes do not invalidate.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG GIT_COMMIT
ARG GIT_TREE_STATE
ARG SOURCE_DATE_EPOCH
RUN hack/build.sh /batchgate-apiserver

# The binary is static, embeds the time zones and the public CAs, and writes no files.
FROM scratch
COPY --from=build /batchgate-apiserver /batchgate-apiserver
USER 65532:65532
ENTRYPOINT ["/batchgate-apiserver"]
ARG VERSION
ARG GIT_COMMIT
LABEL org.opencontainers.image.title="batchgate-apiserver" \
      org.opencontainers.image.description="Serves batch/v1 of Kubernetes with gated updates of Jobs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/batchgate/batchgate" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$GIT_COMMIT"
