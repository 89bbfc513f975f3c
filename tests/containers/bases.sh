#!/usr/bin/env bash
# Stand-ins for the images of Docker Hub, laid out as those are; run by `run.sh`.
set -euo pipefail

# Tags the tree in this folder, and removes it; what follows are instructions of a Dockerfile.
import() {
    local name=$1 tree=$2 changes=() change
    for change in "${@:3}"; do changes+=(--change "$change"); done
    tar -C "$tree" --one-file-system -c . | podman import "${changes[@]}" - "docker.io/$name"
    rm -rf --one-file-system "$tree"
}

# Debian with a C compiler, and what rustup installs, where the image of Docker Hub has it.
rust() {
    local tree=rust
    rm -rf --one-file-system $tree
    debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev bookworm $tree http://deb.debian.org/debian
    # Roots that this machine trusts besides Mozilla's, such as those of a proxy on the way out.
    cp -r /usr/local/share/ca-certificates $tree/usr/local/share
    chroot $tree update-ca-certificates
    # The installer is the same program under another name.
    cp "$(readlink -f "$(command -v rustup)")" rustup-init
    RUSTUP_HOME=$PWD/$tree/usr/local/rustup CARGO_HOME=$PWD/$tree/usr/local/cargo \
        ./rustup-init -y --no-modify-path --profile minimal --default-toolchain 1.95.0
    rm rustup-init
    import library/rust:1.95.0-slim-bookworm $tree \
        "ENV RUSTUP_HOME=/usr/local/rustup" "ENV CARGO_HOME=/usr/local/cargo" \
        "ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

# Debian's program in place of the one that `prom/NAME` has, with the same user and folders.
prom() {
    local name=$1 version=$2 program=$3 data=$4 tree=$1
    rm -rf --one-file-system "$tree"
    mkdir -p "$tree/bin" "$tree/etc/$name" "$tree/$data"
    cp "$(command -v "$program")" "$tree/bin/$name"
    # Debian's Alertmanager has its templates in files.
    [ "$name" != alertmanager ] || cp --parents -rt "$tree" /usr/share/prometheus/alertmanager
    # Libraries, if it has any.
    ldd "$tree/bin/$name" | grep -o '/[^ ]*' | grep -v "^$tree" | xargs cp --parents -Lt "$tree"
    echo 'nobody:x:65534:65534:nobody:/home:/bin/sh' >"$tree/etc/passwd"
    echo 'nobody:x:65534:' >"$tree/etc/group"
    chown -R 65534:65534 "$tree/etc/$name" "$tree/$data"
    import "prom/$name:$version" "$tree" "USER nobody" "VOLUME $data" "WORKDIR $data" \
        "ENTRYPOINT [\"/bin/$name\"]" \
        "CMD [\"--config.file=/etc/$name/$name.yml\", \"--storage.path=$data\"]"
}

podman image exists docker.io/library/rust:1.95.0-slim-bookworm || rust
version() { sed -n "s|.*image: prom/$1:||p" "$PROJECT/deploy/compose/compose.yml"; }
for name in prometheus alertmanager; do
    program=$name
    [ $name = prometheus ] || program=prometheus-alertmanager
    podman image exists "docker.io/prom/$name:$(version $name)" || prom $name "$(version $name)" $program /$name
done
