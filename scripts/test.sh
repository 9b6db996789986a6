#!/usr/bin/env bash
# Everything that a change must pass: source text, tests with the race detector, end-to-end
# tests against real programs, coverage, and no secret in any output. Leaves its traces in
# build/ alone.
set -euo pipefail
cd "$(dirname "$0")/.."

floor=80 # percent of the statements of every package

# What the linter remembers stays in build/, too.
export GOLANGCI_LINT_CACHE=$PWD/build/cache/golangci-lint

step() { printf '\n== %s %s\n' "$(date -u +%H:%M:%S)" "$*"; }

step "tools"
bash scripts/install.sh
make -s build/tools/golangci-lint build/tools/gotestsum build/tools/prometheus3/prometheus

step "source text"
build/tools/golangci-lint fmt --diff ./...
go vet ./...
build/tools/golangci-lint run ./...
shellcheck scripts/*.sh deploy/packages/*.sh .ci/run
go mod tidy -diff
(cd tools && go mod tidy -diff)
(cd tools/manifests && go mod tidy -diff && go vet ./...)
(cd tools/prometheus && go mod tidy -diff)

step "boards"
bash scripts/boards.sh

step "build"
make -s build
build/weixin_exporter --version | head -n 1

rm -rf build/coverage build/artifacts
mkdir -p build/coverage/tests build/coverage/program build/artifacts
packages=$(go list ./... | grep -v /e2e)
: >build/test.txt

run_tests() { # name package… [flag…]
  local name=$1
  shift
  # The coverage that go test prints is of all packages together: it says nothing here.
  build/tools/gotestsum --format standard-quiet --jsonfile "build/$name.json" -- \
    -race -shuffle=on -timeout 10m "$@" 2>&1 | sed -u 's/\tcoverage:.*//' | tee -a build/test.txt
}

# Where the tests find the programs that they need; without them they fail rather than skip.
export E2E_REQUIRED=1
export PROMETHEUS=$PWD/build/tools/prometheus/usr/bin/prometheus
export PROMETHEUS3=$PWD/build/tools/prometheus3/prometheus
export VICTORIA_METRICS=$PWD/build/tools/victoria-metrics/usr/bin/victoria-metrics
export PROMTOOL=$PWD/build/tools/prometheus/usr/bin/promtool
export AMTOOL=$PWD/build/tools/prometheus-alertmanager/usr/bin/amtool
export ALERTMANAGER=$PWD/build/tools/prometheus-alertmanager/usr/bin/prometheus-alertmanager
export ARTIFACTS=$PWD/build/artifacts
CHROMIUM=$(command -v chromium)
export CHROMIUM

step "tests"
# shellcheck disable=SC2086 # a list of packages
run_tests tests -cover -coverpkg "$(paste -sd, - <<<"$packages")" $packages \
  -args -test.gocoverdir="$PWD/build/coverage/tests"

# Without -cover: go test would set GOCOVERDIR, and what the program covers would be lost.
step "end-to-end tests"
GOCOVERDIR=$PWD/build/coverage/program run_tests e2e ./e2e/...

step "what is deployed, by the types of those who read it"
# Not from the cache, which does not see the files outside of the module.
(cd tools/manifests && go test -count=1 -shuffle=on ./...)

step "secrets in the output of the tests"
bash scripts/leaks.sh build/tests.json build/e2e.json build/artifacts

step "coverage, at least $floor % of the statements of every package"
go tool covdata percent -i=build/coverage/tests,build/coverage/program | sort >build/coverage.txt
cat build/coverage.txt
awk -v floor=$floor '
  { sub(/%/, "", $3) }
  $3 + 0 < floor { print "too little: " $1; low = 1 }
  END { if (NR == 0) { print "no coverage was collected"; low = 1 }; exit low }
' build/coverage.txt

step "all is well"
grep -E '^(ok|DONE)' build/test.txt
