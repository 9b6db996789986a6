#!/usr/bin/env bash
# Looks for secrets and tokens in files, in folders and in what go test -json wrote: all
# simulated ones begin with one of two markers. Prints where they are, never what they are,
# and fails if there is any.
set -euo pipefail

if [ $# = 0 ]; then
  echo "usage: $0 FILE|FOLDER…" >&2
  exit 2
fi

# One line for each line of output, with the test's name before it. go test -json cuts long
# lines into several events, so those of a test are joined first.
outputs() {
  jq -rs 'map(select(.Output)) | group_by([.Package, .Test])[]
    | "\(.[0].Package) \(.[0].Test // "-"): " as $test
    | map(.Output) | add | split("\n")[] | $test + .' "$1"
}

found=
for path in "$@"; do
  if [[ $path == *.json ]]; then
    hits=$(outputs "$path" | grep -aE 'sim-(secret|token)-' || [ $? = 1 ])
  else
    hits=$(grep -rHaE 'sim-(secret|token)-' -- "$path" || [ $? = 1 ])
  fi
  found+=$hits
done
if [ -n "$found" ]; then
  echo "a secret or a token was printed:" >&2
  sed -E 's/sim-(secret|token)-[A-Za-z0-9_-]*/<\1>/g' <<<"$found" | cut -c 1-300 >&2
  exit 1
fi
echo "none in $*"
