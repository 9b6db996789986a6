# Everything that is done with this repository. `make` alone lists it.

.DEFAULT_GOAL := help
SHELL := /usr/bin/env bash
.PHONY: help build test check unit lint fmt tidy bench cover fuzz torture image-test licenses sbom vulncheck tools clean

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
REVISION ?= $(shell git rev-parse --verify -q HEAD 2>/dev/null || echo unknown)
BRANCH   ?= $(shell git symbolic-ref --short -q HEAD 2>/dev/null || echo unknown)
# The date of the commit, so that the same commit gives the same binary.
DATE     ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)

STAMP   := github.com/prometheus/common/version
LDFLAGS := -s -w \
	-X $(STAMP).Version=$(VERSION) \
	-X $(STAMP).Revision=$(REVISION) \
	-X $(STAMP).Branch=$(BRANCH) \
	-X $(STAMP).BuildDate=$(DATE)

FUZZTIME  ?= 30s
BENCHTIME ?= 1s
COUNT     ?= 6

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

build: ## build/weixin_exporter: static, with its version in it
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o build/weixin_exporter .

test: ## everything that a change must pass; installs the tools for it
	bash scripts/test.sh

check: ## quickly: tests of changed packages and their dependents, linter
	bash scripts/check.sh

unit: ## the tests without the end-to-end tests, with the race detector; cached
	. scripts/env.sh && CGO_ENABLED=1 go test -race -vet=off $$(go list ./... | grep -v /e2e)

lint: build/tools/golangci-lint ## golangci-lint and the refused phrases
	. scripts/env.sh && build/tools/golangci-lint run ./...
	bash scripts/words.sh

fmt: build/tools/golangci-lint ## format the source text
	build/tools/golangci-lint fmt ./...

tidy: ## go mod tidy in all modules
	for module in . tools tools/manifests tools/prometheus; do (cd $$module && go mod tidy); done

bench: ## all benchmarks, for benchstat
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(COUNT) ./...

cover: ## coverage by package, without the end-to-end tests
	go test -shuffle=on -cover $$(go list ./... | grep -v /e2e)

fuzz: ## every fuzz target for FUZZTIME
	bash scripts/fuzz.sh $(FUZZTIME)

torture: ## the long forms of the tests that kill, cut the power and simulate; a day
	bash scripts/torture.sh

image-test: ## build the Dockerfile with buildah and run its image; as root
	bash scripts/image.sh

licenses: ## check the licences of the modules in the binary
	bash scripts/licenses.sh

sbom: build ## build/weixin_exporter.cdx.json: the modules in the binary, as CycloneDX
	. scripts/env.sh && go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -output build/weixin_exporter.cdx.json build/weixin_exporter

vulncheck: ## the known vulnerabilities that the code reaches; asks vuln.go.dev
	. scripts/env.sh && go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

tools: build/tools/golangci-lint ## the tools that the tests need
	bash scripts/install.sh
	bash scripts/alertmanager.sh

build/tools/golangci-lint: tools/go.mod tools/go.sum
	. scripts/env.sh && cd tools && go build -ldflags '-s -w' -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# A module of its own, because what Prometheus needs would fix the versions of the other tools.
build/tools/prometheus3/prometheus: tools/prometheus/go.mod tools/prometheus/go.sum
	. scripts/env.sh && cd tools/prometheus && go build -tags remove_all_sd -ldflags '-s -w' -o ../../$@ github.com/prometheus/prometheus/cmd/prometheus

build/tools/gotestsum: tools/go.mod tools/go.sum
	. scripts/env.sh && cd tools && go build -ldflags '-s -w' -o ../$@ gotest.tools/gotestsum

clean: ## remove build/
	rm -rf build
