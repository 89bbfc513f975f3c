#!/usr/bin/env bash
# Builds the image with the Dockerfile as it is, for both architectures, and runs it as it is meant
# to be run; then brings up deploy/compose. For root on Debian; the first run takes half an hour.
#
# No registry of containers is asked: `bases.sh` makes stand-ins for the images that would come from
# there. All is in target/containers, and all that runs is in namespaces that end with this script.
set -euo pipefail
cd "$(dirname "$0")/../.."
project=$PWD

[ "$(id -u)" -eq 0 ] || {
    echo "expected to be root, who may make images, but found user $(id -u)" >&2
    exit 1
}
packages=(buildah crun curl debootstrap dnsmasq-base golang-github-containernetworking-plugin-dnsname
    iproute2 jq podman podman-compose prometheus prometheus-alertmanager qemu-user-static)
dpkg-query -W -f '${db:Status-Abbrev}\n' "${packages[@]}" 2>/dev/null | grep -qv '^ii' || [ "$(
    dpkg-query -W -f '${Package}\n' "${packages[@]}" 2>/dev/null | wc -l
)" -ne ${#packages[@]} ] && {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
}

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

"$project/tests/containers/bases.sh"
revision=$(git -C "$project" rev-parse --short=12 HEAD)
for architecture in amd64 arm64; do
    began=$SECONDS
    buildah bud --isolation chroot --format docker --layers --pull-never --platform "linux/$architecture" \
        --build-arg REVISION="$revision" --tag "defender-scan-exporter:$architecture" "$project"
    echo "built for $architecture in $((SECONDS - began)) s"
done
