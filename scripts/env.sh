# Sourced by the other scripts, from the top of the repository: what all that is compiled and run here
# shares. One set of flags for tools, linter, binary and tests makes Go compile each package once, without
# the race detector and with it, rather than once for each user.
# shellcheck shell=bash

# No debug information: nothing here needs it, and it is a tenth of the compiler's work. With the race detector Go also
# checks conversions of pointers, of which SQLite's translation from C is full: 8 to 15 % of the time of tests with a
# store. The detector leaves out SQLite itself, which it slows down five times. The driver, libc and the
# locks that SQLite takes (they are sync's) are watched as all else is. The last pattern that fits applies.
shared="-trimpath -gcflags=all=-dwarf=false '-gcflags=modernc.org/...=-dwarf=false -d=checkptr=0' '-gcflags=modernc.org/sqlite/lib=-dwarf=false -race=false'"
export GOFLAGS="${GOFLAGS:+${GOFLAGS%"$shared"}}$shared"
export CGO_ENABLED=0 # as the released binary; the race detector needs 1

# The race detector waits for a second at the end of each process, of which the tests start hundreds.
export GORACE="${GORACE:-atexit_sleep_ms=20}"

# What the linter remembers stays in build/, too.
export GOLANGCI_LINT_CACHE=$PWD/build/cache/golangci-lint

# in_memory says whether a folder in memory can take the files of the tests: 2 GB are free, and programs
# can be run from there.
in_memory() {
  local folder=$1
  mkdir -p "$folder" 2>/dev/null || return 1
  [ "$(df --output=avail -BM "$folder" | tail -n 1 | tr -dc 0-9)" -ge 2048 ] || return 1
  [ "$(awk '/^MemAvailable/ {print int($2/1024)}' /proc/meminfo)" -ge 4096 ] || return 1
  printf '#!/bin/sh\n' >"$folder/probe" && chmod +x "$folder/probe" && "$folder/probe" 2>/dev/null || return 1
}

# The stores of the tests write through to the disk again and again, so they are in memory where that is
# possible. The name is the same each time, since the cache of the tests knows TMPDIR; it is short, since
# it is part of the paths of sockets. What Go links is large and stays on the disk.
if [ -z "${TMPDIR:-}" ]; then
  memory=/dev/shm/weixin-$(cksum <<<"$PWD" | cut -d ' ' -f 1)
  if in_memory "$memory"; then
    export TMPDIR=$memory GOTMPDIR=${GOTMPDIR:-/tmp}
  fi
fi
