#!/usr/bin/env bash
# Builds the static binary twice, in two folders, and compares. Arguments go to cargo, such as
# `--config profile.dist.lto=false` where time is short.
#
#   release/reproducible.sh [CARGO ARGUMENT…]
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
target=$(uname -m)-unknown-linux-musl
revision=$(git -C "$project" rev-parse --short=12 HEAD)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for folder in one another/place; do
    mkdir -p "$work/$folder"
    git -C "$project" archive "$revision" | tar -x -C "$work/$folder"
    (
        cd "$work/$folder"
        # Where the sources were, and where the dependencies, must not matter.
        export RUSTFLAGS="--remap-path-prefix=$PWD=/build --remap-path-prefix=$cargo_home=/cargo"
        export DEFENDER_EXPORTER_REVISION=$revision
        cargo build --quiet --locked --profile dist --bin defender-scan-exporter --target "$target" "$@"
        sha256sum <"target/$target/dist/defender-scan-exporter" | cut -d ' ' -f 1
    )
done | tee "$work/hashes"

[ "$(sort -u "$work/hashes" | wc -l)" -eq 1 ] || {
    echo "expected the same hash twice, but found two" >&2
    exit 1
}
