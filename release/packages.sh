#!/usr/bin/env bash
# Builds the static binary, and of it an archive, a .deb and an .rpm, in target/release-files.
#
#   release/packages.sh TARGET [BINARY]     BINARY: one that is built already
#
# FILES names another folder for them.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?expected a target, such as x86_64-unknown-linux-musl}
name=defender-scan-exporter
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
files=${FILES:-$PWD/target/release-files}
build=${CARGO_TARGET_DIR:-$PWD/target}

tool() {
    [ -x "target/tools/bin/$1" ] || cargo install --quiet --locked --debug --root target/tools "$1@$2"
}
tool cargo-deb 3.8.0
tool cargo-generate-rpm 0.21.1

if [ $# -lt 2 ]; then
    cargo build --locked --profile dist --bin $name --target "$target"
    set -- "$target" "$build/$target/dist/$name"
fi
# Where both tools look for it.
mkdir -p "$build/$target/release" "$files"
[ "$2" -ef "$build/$target/release/$name" ] || cp "$2" "$build/$target/release/$name"
release/assets.sh "$2" target/assets

target/tools/bin/cargo-deb --no-build --no-strip --target "$target" --output "$files/"
target/tools/bin/cargo-generate-rpm --target "$target" --target-dir "$build" --output "$files/"
archive=$name-$version-$target
rm -rf "target/$archive"
mkdir "target/$archive"
cp -r "$2" README.md LICENSE CHANGELOG.md docs alerts dashboards target/assets/* "target/$archive"
tar --create --gzip --owner=0 --group=0 --directory target --file "$files/$archive.tar.gz" "$archive"
rm -rf "target/$archive"
ls "$files"
