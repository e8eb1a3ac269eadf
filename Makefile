# The targets call scripts; the first lines of each script describe it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The scripts build with the same settings, so everything shares one build cache.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath $(GOFLAGS)

CONTAINER_TOOL ?= docker
FUZZTIME ?= 30s
IMAGE ?= batchgate-apiserver:v$(shell cat VERSION)
SUITE ?= core

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^##@ / {print "\n" substr($$0, 5)} /^[a-z0-9-]+:.*## / && $$1 != "help" {printf "  make %-16s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it

.PHONY: run
run: ## Start the server without a cluster and demonstrate the gate (DIRECTORY, PORT, RUN_ONCE=1)
	@hack/run.sh

.PHONY: dev-cluster
dev-cluster: ## Run a control plane with v1.batch taken over until Ctrl-C (NODE=real: a real node without Batchgate, needs root)
	@$(if $(filter real,$(NODE)),hack/node-requirements.sh && PLATFORMS=linux/$$(go env GOARCH) hack/release.sh $$(cat VERSION) &&) \
	  go -C test build -o ../_output/devcluster ./devcluster && exec _output/devcluster $(if $(filter real,$(NODE)),-real-node)

##@ Build

.PHONY: build
build: ## Build the server and the kubectl plugin to _output
	hack/build.sh
	hack/build.sh _output/kubectl-batchgate ./cmd/kubectl-batchgate

.PHONY: clean
clean: ## Remove _output, including the data of "make run"
	rm -rf _output

##@ Change the code

.PHONY: generate
generate: ## Regenerate the code that is derived from the API types, docs/reference, and docs/generated/faults.md
	hack/update-codegen.sh
	go run ./hack/reference docs/reference
	go -C hack/tools/docs run . faults ../../..

.PHONY: fmt
fmt: ## Format the Go code
	gofmt -l -w artifacts cmd hack pkg test

.PHONY: verify
verify: ## Check formatting, language, links, generated files, manifests and dependencies, and run the linters
	@hack/verify.sh

##@ Test

.PHONY: test
test: ## Run the unit, integration and basic end-to-end tests (SKIP="plugin"); builds for 15 minutes the first time
	hack/test.sh default

.PHONY: test-unit
test-unit: ## Run the unit tests (COVER=1 prints the coverage of each package, RUN=REGEXP runs some but builds all)
	go test $(if $(COVER),-cover) $(if $(RUN),-run '$(RUN)') ./...

.PHONY: test-integration
test-integration: ## Run the tests of the server on a real etcd
	hack/test.sh integration

.PHONY: test-e2e
test-e2e: ## Run end-to-end suites, listed in hack/test.sh (SUITE="core parity", RUN=REGEXP)
	hack/test.sh $(SUITE)

.PHONY: test-all
test-all: ## Run every test suite; over an hour (SKIP="ecosystem")
	hack/test.sh all

# The same as test-e2e with SUITE=ecosystem.
.PHONY: test-ecosystem
test-ecosystem:
	hack/test.sh ecosystem

.PHONY: test-node
test-node: ## Test the containers of a release on real nodes; needs root and some packages, and names the missing ones (RUN=REGEXP)
	hack/test.sh node

.PHONY: test-versions
test-versions: ## Run end-to-end suites with all supported minor versions of Kubernetes; an hour (VERSIONS=1.36)
	hack/test-versions.sh $(VERSIONS)

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (30s)
	hack/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Compare performance with kube-apiserver, a policy and a webhook; 70 minutes (BENCH=-quick: three minutes)
	hack/build-tools.sh
	go -C test build -o ../_output/bench ./performance && _output/bench $(BENCH)

.PHONY: bench-compare
bench-compare: ## Compare the performance of the work tree with a commit; 3 to 11 minutes (BASE=origin/main)
	hack/bench-compare.sh $(BASE)

##@ Release

.PHONY: image
image: ## Build the container image (CONTAINER_TOOL, IMAGE)
	$(CONTAINER_TOOL) build --tag $(IMAGE) \
	  --build-arg VERSION=$$(cat VERSION) \
	  --build-arg GIT_COMMIT=$$(git rev-parse HEAD) \
	  --build-arg GIT_TREE_STATE=$$(test -z "$$(git status --porcelain)" && echo clean || echo dirty) \
	  --build-arg SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .

.PHONY: release
release: ## Build what a release publishes to _output/release (IMAGE_REPOSITORY)
	hack/release.sh $$(cat VERSION)

.PHONY: test-release
test-release: release ## Build the release a second time, compare, and check its content
	hack/verify-release.sh

.PHONY: vulnerabilities
vulnerabilities: ## Search the dependencies of both binaries for known vulnerabilities, in the Go vulnerability database
	"$$(hack/build-tools.sh -m ci govulncheck)/govulncheck" ./cmd/...
