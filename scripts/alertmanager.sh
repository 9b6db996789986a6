#!/usr/bin/env bash
# Builds Alertmanager and amtool below build/tools, from the source of the Go module that tools/alertmanager pins. The
# module lacks the files of the web interface, which are made by other tools: an empty file stands for them.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
folder=$PWD/build/tools/alertmanager

version=$(sed -n 's|^require github.com/prometheus/alertmanager ||p' tools/alertmanager/go.mod)
if [ "$(cat "$folder/version" 2>/dev/null || true)" = "$version" ]; then
  exit 0
fi
source=$(cd tools/alertmanager && go mod download -json github.com/prometheus/alertmanager | jq -r .Dir)
rm -rf "$folder"
mkdir -p "$folder"
cp -r "$source" "$folder/source"
chmod -R u+w "$folder/source"
mkdir -p "$folder/source/ui/app/dist"
touch "$folder/source/ui/app/dist/index.html"
(cd "$folder/source" && go build -ldflags '-s -w' -o "$folder/" ./cmd/alertmanager ./cmd/amtool)
rm -rf "$folder/source"
printf '%s\n' "$version" >"$folder/version"
