#!/bin/sh
# Makes the user of the service. The service is not started: it needs a configuration first.
set -e
if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers weixin_exporter.conf
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl try-restart weixin_exporter.service
fi
