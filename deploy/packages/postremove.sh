#!/bin/sh
# The database, the configuration and the user stay: they are the operator's.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
