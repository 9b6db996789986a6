#!/usr/bin/env bash
# Installs the Debian packages that the tests need and that are not there yet. Prometheus and VictoriaMetrics
# are only unpacked below build/tools, so that no service is set up.
set -euo pipefail
cd "$(dirname "$0")/.."

updated=
apt() {
  local sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  if [ -z "$updated" ]; then
    "${sudo[@]}" apt-get update -qq
    updated=yes
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

need() { # program package…
  command -v "$1" >/dev/null 2>&1 || wanted+=("${@:2}")
}

wanted=()
need gcc gcc libc6-dev # the race detector is linked with it
need git git
need curl curl ca-certificates
need jq jq
need shellcheck shellcheck
need chromium chromium
need systemd-analyze systemd
need pgrep procps # which has the kill that the systemd unit uses
[ "$(id -u)" != 0 ] || need mkfs.ext4 e2fsprogs # for file systems of tests, which root alone can mount
need node nodejs
need npm npm
[ -e /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc ] || wanted+=(fonts-noto-cjk) # the pages in Chinese
need pgbouncer pgbouncer
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || wanted+=(postgresql) # its programs are not in PATH
if [ ${#wanted[@]} -gt 0 ]; then
  echo "installing ${wanted[*]}"
  apt install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
fi

unpack() { # package program name
  [ ! -x "build/tools/$1/usr/bin/$2" ] || return 0
  echo "unpacking $3"
  mkdir -p build/tools/download
  (cd build/tools/download && apt-get download -qq "$1" 2>/dev/null) || {
    apt check -qq # updates the package lists first
    (cd build/tools/download && apt-get download -qq "$1")
  }
  dpkg-deb -x build/tools/download/"$1"_*.deb "build/tools/$1"
  rm -rf "build/tools/$1/usr/share/doc" # its examples may be Go packages
  rm -r build/tools/download
}

unpack prometheus prometheus Prometheus
unpack victoria-metrics victoria-metrics VictoriaMetrics

# axe-core looks for what keeps people with disabilities from using the pages.
axe=4.14.1
axe_sum=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
if [ ! -f "build/tools/axe-core-$axe/axe.min.js" ]; then
  echo "unpacking axe-core $axe"
  mkdir -p build/tools/download
  (cd build/tools/download && npm pack --silent "axe-core@$axe" >/dev/null)
  echo "$axe_sum  build/tools/download/axe-core-$axe.tgz" | sha512sum --check --quiet
  mkdir -p "build/tools/axe-core-$axe"
  tar -xzf "build/tools/download/axe-core-$axe.tgz" -C "build/tools/axe-core-$axe" --strip-components=1 package/axe.min.js package/LICENSE
  rm -r build/tools/download
fi
