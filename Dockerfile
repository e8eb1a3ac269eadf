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

# Nothing else is needed: the binary is static, writes no file, and trusts no public CA
# (etcd, webhooks and kube-apiserver are verified with CAs that it is given).
FROM scratch
COPY --from=build /batchgate-apiserver /batchgate-apiserver
USER 65532:65532
ENTRYPOINT ["/batchgate-apiserver"]
