#!/usr/bin/env bash
# Writes SHA256SUMS of the files in a folder, as `sha256sum --check` reads it: release/checksums.sh FOLDER
set -euo pipefail
cd "${1:?expected a folder}"
rm -f SHA256SUMS
find . -maxdepth 1 -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum >SHA256SUMS.new
mv SHA256SUMS.new SHA256SUMS
