#!/usr/bin/env bash
# Measures what the shipped rules cost a Prometheus that scrapes the demo: rules.sh [TENANTS] [DEFINITIONS] [MINUTES]
# EXPORTER and PROMETHEUS name other binaries than the release build and the one in the PATH.
set -euo pipefail
cd "$(dirname "$0")/../.."
tenants=${1:-20} definitions=${2:-150} minutes=${3:-10}
if [ -z "${EXPORTER:-}" ]; then
    cargo build --release --locked --bin defender-scan-exporter
    EXPORTER=target/release/defender-scan-exporter
fi
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
folder=$(mktemp -d) exporter=127.0.0.1:$(free_port) server=127.0.0.1:$(free_port)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$folder"' EXIT

"$EXPORTER" demo --tenants "$tenants" --definitions "$definitions" --web.listen-address "$exporter" >"$folder/exporter.log" 2>&1 &
cat >"$folder/prometheus.yml" <<END
global: {scrape_interval: 30s, evaluation_interval: 1m}
rule_files: ["$PWD/alerts/defender-scan.rules.yml"]
scrape_configs: [{job_name: defender-scan-exporter, static_configs: [{targets: ["$exporter"]}]}]
END
"${PROMETHEUS:-prometheus}" --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" --web.listen-address="$server" >"$folder/prometheus.log" 2>&1 &
sleep $((minutes * 60))

query() { curl -sf "http://$server/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[0].value[1] // "0"'; }
echo "$("${PROMETHEUS:-prometheus}" --version 2>&1 | head -n 1): $(query 'count(defender_scan_status_code)') definitions with a status, $(query 'count(ALERTS)') alerts pending or firing"
curl -sf "http://$server/metrics" | awk '
    /^prometheus_rule_group_last_duration_seconds\{/ {
        sub(/.*;/, ""); sub(/"}/, "")
        a_minute = $1 ~ /slow/ ? $2 / 5 : $2
        printf "%-32s %.3f s\n", $1, $2
        sum += a_minute
    }
    END { printf "%-32s %.3f s\n", "a minute, all groups", sum }'
