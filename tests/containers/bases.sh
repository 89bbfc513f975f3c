#!/usr/bin/env bash
# Stand-ins for the images of Docker Hub, laid out as those are; run by `run.sh`.
set -euo pipefail

# Tags a tree as an image, with the instructions of a Dockerfile that follow.
import() {
    local name=$1 tree=$2 changes=() change
    for change in "${@:3}"; do changes+=(--change "$change"); done
    tar -C "$tree" --one-file-system -c . | podman import "${changes[@]}" - "$name"
}
has() { podman image exists "$1"; }

# Debian with a C compiler, and what rustup installs, where the image of Docker Hub has it.
rust() {
    local name=docker.io/library/rust:1.95.0-slim-bookworm tree=rust
    has "$name" && return
    rm -rf --one-file-system $tree
    debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev bookworm $tree http://deb.debian.org/debian
    # Roots that this machine trusts besides Mozilla's, such as those of a proxy on the way out.
    cp -r /usr/local/share/ca-certificates $tree/usr/local/share
    chroot $tree update-ca-certificates
    # The installer is the same program under another name.
    cp "$(readlink -f "$(command -v rustup)")" rustup-init
    RUSTUP_HOME=$PWD/$tree/usr/local/rustup CARGO_HOME=$PWD/$tree/usr/local/cargo \
        ./rustup-init -y --no-modify-path --profile minimal --default-toolchain 1.95.0
    import "$name" $tree "ENV RUSTUP_HOME=/usr/local/rustup" "ENV CARGO_HOME=/usr/local/cargo" \
        "ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    rm -rf --one-file-system $tree rustup-init
}

rust
