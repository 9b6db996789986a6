#!/bin/sh
# Stops the service when the package is removed (deb: "remove", rpm: 0 packages remain), not when it is upgraded.
set -e
if [ -d /run/systemd/system ]; then
  case "$1" in
    remove | 0) systemctl --no-reload disable --now weixin_exporter.service ;;
  esac
fi
