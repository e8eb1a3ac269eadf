FROM golang:1.26 AS build
WORKDIR /src

# Modules are a separate layer, which code changes do not invalidate.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG GIT_COMMIT
ARG GIT_TREE_STATE
ARG SOURCE_DATE_EPOCH
RUN hack/build.sh /batchgate-apiserver

# The binary is static, embeds the time zones and writes no files. Webhooks that are
# configured without a CA bundle are verified with the public CAs.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /batchgate-apiserver /batchgate-apiserver
USER 65532:65532
ENTRYPOINT ["/batchgate-apiserver"]
