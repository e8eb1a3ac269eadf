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
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the server and the kubectl plugin to _output
	hack/build.sh
	hack/build.sh _output/kubectl-batchgate ./cmd/kubectl-batchgate

.PHONY: run
run: ## Start the server without a cluster and show the gate at work (DIRECTORY, PORT, RUN_ONCE=1)
	@hack/run.sh

.PHONY: cluster
cluster: ## Keep a control plane with v1.batch taken over until Ctrl-C (builds it the first time)
	@go -C test build -o ../_output/cluster ./devcluster && exec _output/cluster

.PHONY: test
test: test-unit test-integration test-surface test-together test-drills ## Run the tests, but for the rest of transitions, and Kueue and JobSet
# In this order even with make -j: they would compete for the machine.
.NOTPARALLEL:

.PHONY: test-unit
test-unit: ## Test the packages
	go test ./cmd/... ./pkg/...

# -count=1: what Go has cached says nothing about a server that is built by the test. -p 1: of one
# package at a time Go prints the progress. -parallel 8: most integration tests wait for servers.
.PHONY: test-integration
test-integration: ## Test the server on a real etcd
	go -C test test -count=1 -parallel 8 ./integration/...

.PHONY: test-e2e
test-e2e: tools ## Test the server in a real control plane
	go -C test test -v -count=1 -p 1 -timeout 40m ./framework/... ./e2e/core/... ./e2e/policy/... ./e2e/plugin/... ./e2e/monitoring/...

# Not part of make test: it waits minutes for kube-apiserver to notice what was stopped.
.PHONY: test-outage
test-outage: tools ## Stop kube-apiserver and Batchgate and test that the cluster recovers
	go -C test test -v -count=1 -timeout 40m ./e2e/outage/...

# Minutes shorter than one after the other. What is built first, is not built beside tests.
.PHONY: test-together
test-together: tools upstream-tests ## Run transitions and conformance beside the end-to-end tests
	hack/side-by-side.sh '$(MAKE) test-transitions test-conformance' '$(MAKE) test-e2e'

# One waits 5 to 10 minutes for a controller's watch to end, and does so beside the others.
DRILLS := go -C test test -v -count=1 -timeout 40m ./e2e/disruption/...
SLOW_DRILL := ^TestImportUnderLoad
.PHONY: test-drills
test-drills: tools ## Take control planes apart under load, and look what etcd has after it
	hack/side-by-side.sh '$(DRILLS) -run $(SLOW_DRILL)' '$(DRILLS) -skip $(SLOW_DRILL)'

.PHONY: test-transitions
test-transitions: tools ## Put changes of completions, parallelism and selectors to the Job controller
	go -C test test -v -count=1 -timeout 40m ./e2e/transitions/...

# Not part of make test: minutes in which nothing can run beside it.
.PHONY: test-transitions-full
test-transitions-full: export BATCHGATE_ALL_TRANSITIONS := 1
test-transitions-full: test-transitions ## The same for all combinations that are allowed, not a part of them

.PHONY: upstream-tests
upstream-tests: tools # e2e.test and ginkgo
	hack/build-tools.sh -m e2e

.PHONY: test-conformance
test-conformance: upstream-tests ## Run upstream's own tests of batch/v1 natively and on Batchgate; UPDATE_GOLDEN=1 writes the table
	go -C test test -v -count=1 -timeout 40m ./e2e/upstream/...

# Not part of make test: the two programs take longer to build than a control plane to test.
.PHONY: test-clients
test-clients: tools ## Have Kueue and JobSet drive Jobs under their example policies
	hack/build-tools.sh -m jobset
	hack/build-tools.sh -m kueue
	go -C test test -v -count=1 -timeout 40m ./e2e/ecosystem/...

.PHONY: test-surface
test-surface: tools ## Ask kube-apiserver and Batchgate the same, and compare every byte
	go -C test test -v -count=1 -timeout 20m ./e2e/parity/...

.PHONY: fuzz
fuzz: ## Let the gate judge random input, and attack the server with it (FUZZTIME=30s, for each)
	hack/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: tools ## Measure Batchgate beside kube-apiserver, a policy and a webhook (an hour; BENCH='-quick -out DIRECTORY': two minutes)
	go -C test run ./performance $(BENCH)

.PHONY: verify
verify: ## Check formatting, modules, imports, scripts, manifests; vet and lint
	@hack/verify.sh

.PHONY: generate
generate: ## Generate what is derived from the API types in pkg/apis
	hack/update-codegen.sh

.PHONY: tools
tools: ## Build kubectl, a control plane, linter and promql (12 minutes the first time)
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
