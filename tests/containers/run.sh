#!/usr/bin/env bash
# Builds the image with the Dockerfile as it is, for both architectures, and runs it as it is meant
# to be run; then brings up deploy/compose. For root on Debian 12 with rustup.
#
# No registry of containers is asked: `bases.sh` makes stand-ins for the images that would come from
# there. All is kept in target/containers, and what runs is in namespaces that end with this script.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PROJECT=$PWD

[ "$(id -u)" -eq 0 ] || {
    echo "expected to be root, who may make images, but found user $(id -u)" >&2
    exit 1
}
if [ "${1:-}" != inside ]; then
    packages=(buildah crun curl debootstrap dnsmasq-base golang-github-containernetworking-plugin-dnsname iproute2
        jq podman podman-compose prometheus prometheus-alertmanager qemu-user-static)
    if ! dpkg-query -W "${packages[@]}" >/dev/null 2>&1; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
    fi
    exec unshare --mount --pid --fork --kill-child --mount-proc "$0" inside
fi

mkdir -p target/containers/networks
cd target/containers
# Limits as the machine has them: it may be forbidden to raise them.
cat >containers.conf <<END
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=$(ulimit -Sn):$(ulimit -Hn)", "nproc=1000:1000"]
[engine]
cgroup_manager = "cgroupfs"
[network]
network_config_dir = "$PWD/networks"
END
cat >storage.conf <<END
[storage]
driver = "overlay"
graphroot = "$PWD/images"
runroot = "$PWD/running"
END
export CONTAINERS_CONF=$PWD/containers.conf CONTAINERS_STORAGE_CONF=$PWD/storage.conf

"$PROJECT/tests/containers/bases.sh"
export REVISION=${REVISION:-$(git -C "$PROJECT" rev-parse --short=12 HEAD)}
# Docker knows the machine's own platform; Debian's buildah wants to be told.
platform=linux/$(dpkg --print-architecture)
for architecture in amd64 arm64; do
    began=$SECONDS
    buildah bud --isolation chroot --format docker --layers --pull-never --platform "linux/$architecture" \
        --build-arg REVISION="$REVISION" --build-arg BUILDPLATFORM="$platform" --tag "defender-scan-exporter:$architecture" "$PROJECT"
    echo "== built for $architecture in $((SECONDS - began)) s"
done
exec unshare --mount --net "$PROJECT/tests/containers/image.sh"
