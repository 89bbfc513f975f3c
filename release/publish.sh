#!/usr/bin/env bash
# Builds the image for amd64 and arm64 and pushes it, and then the chart, to the registry REGISTRY.
# Needs docker with buildx, and helm.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${REGISTRY:?expected where to push, such as ghcr.io/example}" "${REGISTRY_USER:?}" "${REGISTRY_TOKEN:?}"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
host=${REGISTRY%%/*}
docker login --username "$REGISTRY_USER" --password-stdin "$host" <<<"$REGISTRY_TOKEN"
docker buildx create --use
docker buildx build --platform linux/amd64,linux/arm64 --provenance=mode=max --sbom=true \
    --build-arg REVISION="$(git rev-parse --short=12 HEAD)" --tag "$REGISTRY/defender-scan-exporter:$version" --push .
release/chart.sh "$REGISTRY/defender-scan-exporter" target/release-files
helm registry login --username "$REGISTRY_USER" --password-stdin "$host" <<<"$REGISTRY_TOKEN"
helm push "target/release-files/defender-scan-exporter-$version.tgz" "oci://$REGISTRY/charts"
