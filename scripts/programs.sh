# Sourced by the other scripts: where the tests find the programs that scripts/install.sh unpacked and
# that were built. Others are found in PATH.
# shellcheck shell=bash
tools=$PWD/build/tools

named() { # variable path
  [ ! -x "$2" ] || export "$1=$2"
}

named PROMETHEUS "$tools/prometheus/usr/bin/prometheus"
named PROMETHEUS3 "$tools/prometheus3/prometheus"
named VICTORIA_METRICS "$tools/victoria-metrics/usr/bin/victoria-metrics"
named PROMTOOL "$tools/prometheus/usr/bin/promtool"
named AMTOOL "$tools/alertmanager/amtool"
named ALERTMANAGER "$tools/alertmanager/alertmanager"
CHROMIUM=$(command -v chromium || true)
named CHROMIUM "$CHROMIUM"
for file in "$tools"/axe-core-*/axe.min.js; do
  [ ! -f "$file" ] || export AXE=$file
done
