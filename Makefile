# Scripts do the work, and say in their first lines what they do.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# As the scripts build, so that what they have compiled is not compiled again for tests.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath $(GOFLAGS)

CONTAINER_TOOL ?= docker
FUZZTIME ?= 30s
IMAGE ?= batchgate-apiserver:v$(shell cat VERSION)

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the server and the kubectl plugin to _output
	hack/build.sh
	hack/build.sh _output/kubectl-batchgate ./cmd/kubectl-batchgate

.PHONY: run
run: ## Start the server without a cluster and show the gate at work (DIRECTORY, PORT, RUN_ONCE=1)
	@hack/run.sh

.PHONY: cluster
cluster: ## Keep a control plane with v1.batch taken over until Ctrl-C
	@go build -o _output/cluster ./test/cluster && exec _output/cluster

.PHONY: test
test: test-unit test-integration test-e2e test-drills ## Run all tests
# In this order even with make -j: they would compete for the machine and its ports.
.NOTPARALLEL:

.PHONY: test-unit
test-unit: ## Test the packages
	go test ./cmd/... ./pkg/...

# -count=1: what Go has cached says nothing about a server that is built by the test. -p 1: of one
# package at a time Go prints the progress.
.PHONY: test-integration
test-integration: ## Test the server on a real etcd
	go test -count=1 ./test/integration/...

.PHONY: test-e2e
test-e2e: tools ## Test the server in a real control plane
	go test -v -count=1 -p 1 -timeout 40m ./test/framework/... ./test/e2e/...

.PHONY: test-drills
test-drills: tools ## Take control planes apart under load, and look what etcd has after it
	hack/test-drills.sh

.PHONY: fuzz
fuzz: ## Let the gate judge random Jobs, field paths and policies (FUZZTIME=30s, for each)
	go test -run '^$$' -fuzz '^FuzzKeep$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 1x ./pkg/fieldpolicy
	go test -run '^$$' -fuzz '^FuzzParseField$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 1x ./pkg/fieldpolicy
	go test -run '^$$' -fuzz '^FuzzSnapshot$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 1x ./pkg/fieldpolicy

.PHONY: bench
bench: tools ## Measure Batchgate beside kube-apiserver, a policy and a webhook (40 minutes; BENCH='-quick -out DIRECTORY': one)
	go run ./test/benchmark $(BENCH)

.PHONY: profile
profile: tools ## Refresh the profile that the server is optimized by
	go run ./test/benchmark -cpuprofile cmd/batchgate-apiserver/default.pgo

.PHONY: verify
verify: ## Check formatting, modules, imports, scripts, manifests; vet and lint
	@hack/verify.sh

.PHONY: generate
generate: ## Generate what is derived from the API types in pkg/apis
	hack/update-codegen.sh

.PHONY: tools
tools: ## Build kubectl, a control plane, linter and promql (10 minutes the first time)
	hack/build-tools.sh
	hack/build-tools.sh -m promql

.PHONY: fmt
fmt: ## Format the Go code
	gofmt -l -w artifacts cmd hack pkg test

.PHONY: image
image: ## Build the container image (CONTAINER_TOOL, IMAGE)
	$(CONTAINER_TOOL) build --tag $(IMAGE) \
	  --build-arg GIT_COMMIT=$$(git rev-parse HEAD) \
	  --build-arg GIT_TREE_STATE=$$(test -z "$$(git status --porcelain)" && echo clean || echo dirty) \
	  --build-arg SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .

.PHONY: clean
clean: ## Remove _output, with the data of make run; tools stay
	rm -rf _output
