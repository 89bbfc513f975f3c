#!/usr/bin/env bash
# Installs what a build wants of Rust besides the compiler: nothing, where it is there already.
set -euo pipefail
target=$(uname -m)-unknown-linux-musl
sysroot=$(rustc --print sysroot)
[ -d "$sysroot/lib/rustlib/$target/lib" ] || rustup target add "$target"
for tool in rustfmt clippy; do
    cargo "${tool/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$tool"
done
command -v clang >/dev/null || {
    apt-get update -q
    apt-get install -y -q --no-install-recommends clang
}
