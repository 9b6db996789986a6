#!/usr/bin/env bash
# Everything that a change must pass: source text, tests with the race detector, end-to-end
# tests against real programs, coverage, and no secret in any output. What the tests do not wait
# for runs in parallel. Writes to build/ alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

floor=80 # percent of the statements of every package

step() { printf '\n== %s %s\n' "$(date -u +%H:%M:%S)" "$*"; }

# beside runs a function in the background with a lower priority; its output goes to build/log. joined waits
# for it, shows its output, and ends the script if it failed.
declare -A running
beside() { # function
  (set -e; renice -n 10 -p $BASHPID >/dev/null; "$1") >"build/log/$1.txt" 2>&1 &
  running[$1]=$!
}
joined() { # function
  local status=0
  wait "${running[$1]}" || status=$?
  unset "running[$1]"
  step "$1"
  grep -v '^go: downloading ' "build/log/$1.txt" || true
  [ $status = 0 ] || { echo "$1 failed" >&2; exit $status; }
}

# kill_tree ends a process and its descendants.
kill_tree() {
  local child
  for child in $(pgrep -P "$1"); do kill_tree "$child"; done
  kill "$1" 2>/dev/null || true
}
finish() {
  local name
  for name in "${!running[@]}"; do kill_tree "${running[$name]}"; done
  [ -z "${memory:-}" ] || rm -rf "$memory"
}
trap finish EXIT

mkdir -p build/log
rm -rf build/coverage build/artifacts
mkdir -p build/coverage/tests build/coverage/program build/artifacts
packages=$(go list ./... | grep -v /e2e)
: >build/test.txt

programs() { bash scripts/install.sh; }

prometheus() { make -s build/tools/prometheus3/prometheus; }

text() {
  make -s build/tools/golangci-lint
  build/tools/golangci-lint fmt --diff ./...
  build/tools/golangci-lint run ./... # govet is one of its linters
  bash scripts/words.sh
  shellcheck -x scripts/*.sh deploy/packages/*.sh .ci/run
  go mod tidy -diff
}

alertmanager() { bash scripts/alertmanager.sh; }

boards() { bash scripts/boards.sh; }

# The deployed files, checked by the types of the programs that read them. Not from the cache, which does not
# see files outside of the module.
manifests() { cd tools/manifests && go test -count=1 -shuffle=on ./...; }

run_tests() { # name package… [flag…]
  local name=$1
  shift
  CGO_ENABLED=1 run_without_race "$name" -race "$@"
}

# For what takes too long with the race detector, or is too much for it.
run_without_race() { # name package… [flag…]
  local name=$1
  shift
  # What go test prints of coverage lacks what other tests cover of a package. The tests would make their folders in GOTMPDIR, which is not in memory.
  build/tools/gotestsum --format standard-quiet --hide-summary=skipped --jsonfile "build/$name.json" -- \
    -vet=off -shuffle=on -timeout 30m -exec 'env -u GOTMPDIR' "$@" 2>&1 |
    sed -u -e 's/\tcoverage:.*//' -e '/^coverage: /d' -e '/^go: downloading /d' | tee -a build/test.txt
}

# Simulated years take what the end-to-end tests leave of the processors while these wait for leases to end.
years() { TORTURE_YEARS=10 run_without_race years -run '^(TestYear|TestYearDoesNotGrow)$' ./internal/refresh; }

beside programs
step "build"
make -s build build/tools/gotestsum
build/weixin_exporter --version | head -n 1
joined programs
. scripts/programs.sh
beside prometheus
beside alertmanager
beside boards

# Where the tests leave pictures; tests whose programs are missing fail instead of being skipped.
export E2E_REQUIRED=1 ARTIFACTS=$PWD/build/artifacts

step "tests"
# Each package counts what its own tests cover; counting in all packages would take twice the processor time. With
# GOGC=200 the garbage collector takes a tenth less of it, for more memory.
# shellcheck disable=SC2086 # a list of packages
GOGC=200 run_tests tests -p 4 -cover $packages -args -test.gocoverdir="$PWD/build/coverage/tests"
joined boards
joined prometheus
joined alertmanager
. scripts/programs.sh
beside years
beside text
beside manifests

# Without -cover: go test would set GOCOVERDIR, and what the program covers would be lost. Most of these
# tests wait for programs, so more of them run at once than there are processors, but not so many that a database gets
# too little time.
step "end-to-end tests"
GOCOVERDIR=$PWD/build/coverage/program run_tests e2e -p 1 -parallel 5 ./e2e/ha ./e2e

# Not beside the end-to-end tests, which need both processors.
step "kills and paced clients"
TORTURE_ACCOUNTS=2 run_without_race large -parallel 6 -run '^(TestKilledAtAnyMoment|TestYearInPostgres|TestConnectionsArePaced|TestDeadlinesOfPacedClients|TestProbesArePunctual)$' \
  ./e2e/kills ./internal/refresh ./internal/httpserver
joined years
joined manifests
joined text

step "secrets in the output of the tests"
bash scripts/leaks.sh build/tests.json build/e2e.json build/years.json build/large.json build/artifacts

step "coverage, at least $floor % of the statements of every package"
go tool covdata percent -i=build/coverage/tests,build/coverage/program | sort >build/coverage.txt
cat build/coverage.txt
# What only tests use is full of branches that nothing but a fault in the program reaches.
grep -Ev '/(clitest|disktest|exportertest|postgrestest|racetest|repotest|storetest|vfstest)[[:space:]]' build/coverage.txt | awk -v floor=$floor '
  { sub(/%/, "", $3) }
  $3 + 0 < floor { print "too little: " $1; low = 1 }
  END { if (NR == 0) { print "no coverage was collected"; low = 1 }; exit low }
'

step "passed in $((SECONDS / 60)) min $((SECONDS % 60)) s"
grep -E '^(ok|DONE)' build/test.txt
