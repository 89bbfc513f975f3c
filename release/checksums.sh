#!/usr/bin/env bash
# Writes SHA256SUMS of the files in a folder, as `sha256sum --check` reads it: release/checksums.sh FOLDER
set -euo pipefail
cd "${1:?expected a folder}"
sums=$(find . -maxdepth 1 -type f ! -name 'SHA256SUMS*' -printf '%P\n' | LC_ALL=C sort | xargs -r -d '\n' sha256sum)
printf '%s\n' "$sums" >SHA256SUMS.new
mv SHA256SUMS.new SHA256SUMS
