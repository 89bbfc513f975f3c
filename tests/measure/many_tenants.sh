#!/usr/bin/env bash
# Measures the exporter with many tenants against the simulator, in release builds:
# [SETTLING_SECONDS=120] many_tenants.sh [TENANTS] [DEFINITIONS] [SECONDS_AT_REST]
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --locked --bin defender-scan-exporter --example many_tenants
exec target/release/examples/many_tenants "$PWD/target/release/defender-scan-exporter" "$@"
