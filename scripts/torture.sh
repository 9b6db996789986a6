#!/usr/bin/env bash
# The long forms of the tests that make test runs briefly. Each line has a package, a test and the environment variables
# that make it long; what is set already stays. Each test prints its seed when it fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

long() ( # package test variable=value…, which the next one does not get
  local package=$1 test=$2 setting
  shift 2
  for setting in "$@"; do
    printenv "${setting%%=*}" >/dev/null || export "${setting?}"
  done
  printf '\n== %s %s %s\n' "$(date -u +%H:%M:%S)" "$test" "$*"
  go test -count=1 -timeout 12h -v -run "^$test\$" "./$package" | grep -vE '^=== '
)

long e2e/kills TestKilledAtAnyMoment TORTURE_KILLS=3000
long internal/refresh TestYear TORTURE_YEARS=1000 TORTURE_ACCOUNTS=50
long internal/refresh TestYearInPostgres TORTURE_YEARS=100 TORTURE_ACCOUNTS=10
long internal/store/sqlite/powerloss TestPowerLoss POWER_ROUNDS=500
long internal/store/sqlite TestSwappedPages TORTURE_DAMAGE=1
long internal/store/sqlite TestHalfAPageOverwritten TORTURE_DAMAGE=1
long e2e/ha TestRounds HA_ROUNDS=200
long e2e TestAbuse E2E_ABUSE=1
long e2e TestLoad LOAD_MINUTES=10
