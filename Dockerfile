FROM golang:1.26 AS build
WORKDIR /src

# The modules are a layer of their own, which a change of the code leaves alone.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG GIT_COMMIT
ARG GIT_TREE_STATE
ARG SOURCE_DATE_EPOCH
RUN hack/build.sh /batchgate-apiserver

# Nothing else is needed: the binary is static, has the time zones in it, and writes no file.
# The public CAs are for webhooks that are configured without a CA bundle.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /batchgate-apiserver /batchgate-apiserver
USER 65532:65532
ENTRYPOINT ["/batchgate-apiserver"]
