#!/usr/bin/env bash
# Checks the Grafana boards against a schema made from Grafana's own types, and the check itself.
# Packages and schema are kept below build/tools and made again when their sources change.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=build/tools/grafana

mkdir -p $folder
before=$(cat $folder/made-from 2>/dev/null || true)
from=$(cd tools/grafana && sha256sum package-lock.json board.ts schema.mjs tsconfig.json; node --version)
cp tools/grafana/* tools/grafana/.npmrc $folder
if [ "$before" != "$from" ]; then
  rm -f $folder/made-from
  (cd $folder && npm ci --no-progress --loglevel=error --ignore-scripts)
  node $folder/schema.mjs $folder/schema.json
  printf '%s\n' "$from" >$folder/made-from
fi
node $folder/check.mjs $folder/schema.json dashboards/*.json dashboards/zh/*.json
# One line for each test would hide what matters here.
SCHEMA=$folder/schema.json BOARDS=dashboards node --test --test-reporter=tap $folder/check.test.mjs >build/boards.txt || {
  cat build/boards.txt
  exit 1
}
grep -E '^# (tests|pass|fail) ' build/boards.txt
