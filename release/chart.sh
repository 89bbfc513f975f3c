#!/usr/bin/env bash
# Packages the chart, with the image's place as its default: release/chart.sh REPOSITORY FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
repository=${1:?expected the repository of the image}
folder=${2:?expected a folder}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r deploy/helm/defender-scan-exporter "$work"
sed -i "s|^  repository: registry.example/defender-scan-exporter$|  repository: $repository|" "$work/defender-scan-exporter/values.yaml"
grep -qxF "  repository: $repository" "$work/defender-scan-exporter/values.yaml"
mkdir -p "$folder"
helm package "$work/defender-scan-exporter" --destination "$folder"
