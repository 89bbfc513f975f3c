#!/usr/bin/env bash
# Writes the software bill of materials of the static binary, in CycloneDX's JSON:
# defender-scan-exporter.cdx.json in this folder's parent.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.5.9
[ -x target/tools/bin/cargo-cyclonedx ] ||
    cargo install --quiet --locked --debug --root target/tools "cargo-cyclonedx@$version"
target/tools/bin/cargo-cyclonedx cyclonedx --format json --spec-version 1.5 \
    --target "$(uname -m)-unknown-linux-musl" --override-filename defender-scan-exporter.cdx
