#!/usr/bin/env bash
# The long forms of the tests that make test runs briefly. Each line has a package, a test, a timeout that suffices on a busy
# machine, and the environment variables that make the test long; what is set already stays. Each test prints its seed when it
# fails. A failure does not keep the others from running: at the end there is a list of what failed, and then the exit code is 1.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
trap 'exit 130' INT TERM # otherwise the next test would begin

# A test whose programs are missing fails instead of being skipped.
export E2E_REQUIRED=1
failed=()

step() { printf '\n== %s %s\n' "$(date -u +%H:%M:%S)" "$*"; }

long() { # package test timeout variable=value…
  step "$2 ${*:4}"
  with_settings "$@" || failed+=("$2 in $1")
}

with_settings() ( # the same, in a shell of its own, so that the next test does not get the variables
  package=$1 test=$2 timeout=$3
  for setting in "${@:4}"; do
    printenv "${setting%%=*}" >/dev/null || export "${setting?}"
  done
  go test -count=1 -timeout "$timeout" -v -run "^$test\$" "./$package" | grep -vE '^=== '
)

long e2e/kills TestKilledAtAnyMoment 12h TORTURE_KILLS=3000
long internal/store/sqlite/powerloss TestPowerLoss 12h POWER_ROUNDS=500
long internal/store/sqlite TestSwappedPages 12h TORTURE_DAMAGE=1
long internal/store/sqlite TestHalfAPageOverwritten 12h TORTURE_DAMAGE=1
long e2e/ha TestRounds 12h HA_ROUNDS=200
long e2e TestAbuse 12h E2E_ABUSE=1
long e2e TestLoad 12h LOAD_MINUTES=10
long internal/refresh TestYearInPostgres 48h TORTURE_YEARS=100 TORTURE_ACCOUNTS=10
long internal/refresh TestYear 96h TORTURE_YEARS=1000 TORTURE_ACCOUNTS=50 # 14 hours on two idle cores

step "make image-test"
if command -v buildah >/dev/null; then
  make image-test || failed+=("make image-test")
else
  echo "left out: buildah is not installed"
fi

if [ ${#failed[@]} -gt 0 ]; then
  step "failed"
  printf '%s\n' "${failed[@]}"
  exit 1
fi
step "passed in $((SECONDS / 3600)) h $((SECONDS / 60 % 60)) min"
