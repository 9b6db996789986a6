// Pins the version that scripts/alertmanager.sh builds, from the source of the module and with its own dependencies.
module weixin_exporter/tools/alertmanager

go 1.26

require github.com/prometheus/alertmanager v0.35.0
