#!/usr/bin/env bash
# Fails if a module of the binary has a licence that is not in scripts/licenses.json.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

detector=${LICENCE_DETECTOR:-go run go.elastic.co/go-licence-detector@v0.11.1}
mkdir -p build
go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}' . | sort -u | grep . |
  xargs go list -m -json >build/modules.json
$detector -includeIndirect -rules "${1:-scripts/licenses.json}" -in build/modules.json
echo "licences allowed: $(jq -s length build/modules.json) modules"
