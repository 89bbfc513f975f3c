#!/usr/bin/env bash
# Checks the Helm chart: first without a cluster, then installed on one that is made for it.
#
#   tests/kubernetes/run.sh                      all of it
#   tests/kubernetes/run.sh NAME...              on the cluster only these checks, functions of checks.sh
#   KUBERNETES=v1.35.4 tests/kubernetes/run.sh   on another version
#
# For Debian, with the Rust toolchain; needs Go 1.26, and for the cluster root. What a machine cannot
# run is said, and is no failure, unless REQUIRE_CLUSTER is set.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/kubernetes/environment.sh

not_checked() {
    echo "NOT CHECKED: $1"
    [ -z "${REQUIRE_CLUSTER:-}" ] || exit 1
    exit 0
}

has_go || not_checked "the Helm chart; expected Go 1.26 or later, but found $(go env GOVERSION 2>/dev/null || echo none)"
mkdir -p "$bin"
install_tools || not_checked "the Helm chart; expected to build helm and actionlint from the Go module proxy, but that failed"
[ -x target/python/bin/kubernetes-validate ] || {
    python3 -m venv target/python
    # The versions of tests/run.sh.
    target/python/bin/pip install --quiet --disable-pip-version-check $(grep -oE '(kubernetes-validate|pyyaml)==[0-9.]+' tests/run.sh)
}
export PATH=$PWD/target/python/bin:$PATH
say "the workflows"
actionlint -shellcheck= -pyflakes=
say "the chart, without a cluster"
python3 tests/kubernetes/chart.py

[ "$(id -u)" -eq 0 ] || not_checked "the chart on a cluster; expected to be root, but found user $(id -u)"
command -v apt-get >/dev/null || not_checked "the chart on a cluster; expected Debian, but found no apt-get"
# What pods need of the kernel, tried where it leaves nothing behind.
probe() {
    unshare --net --mount --pid --fork --mount-proc sh -ec '
        ip link add probe type bridge
        ip link add one type veth peer name two
        mount -t tmpfs tmpfs /mnt
        mkdir /mnt/lower /mnt/upper /mnt/work /mnt/all
        mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/all
        iptables -t nat -A POSTROUTING -m comment --comment probe -j MASQUERADE
        test -d /sys/fs/cgroup' 2>&1 | tail -n 1
}
tests/kubernetes/cluster.sh build || not_checked "the chart on a cluster; expected to build Kubernetes from the Go module proxy, but that failed"
problem=$(probe) || not_checked "the chart on a cluster; expected a kernel with bridges, overlays, iptables and control groups, but found: $problem"

# One cluster at a time on a machine. What runs there ends with its namespaces.
exec 9>"$state/lock"
flock --exclusive --timeout 1800 9 || not_checked "the chart on a cluster; expected no other on this machine, but found one that lasts"
[ -z "$(find /sys/fs/cgroup -path '*kubepods*' -name cgroup.procs -exec cat {} + 2>/dev/null)" ] ||
    not_checked "the chart on a cluster; expected no other Kubernetes on this machine, but found one"
release/toolchain.sh || not_checked "the chart on a cluster; expected the target $(uname -m)-unknown-linux-musl, but it cannot be installed"

say "the exporter's binary, and the simulator"
target=$(uname -m)-unknown-linux-musl
# The very one that tests/shipping builds.
CARGO_PROFILE_DEV_DEBUG=0 cargo build --locked --quiet --target "$target" --bin defender-scan-exporter --target-dir target/static
cargo build --locked --quiet --package defender-simulator --example serve
export BINARY=$PWD/target/static/$target/debug/defender-scan-exporter SIMULATOR=$PWD/target/debug/examples/serve

status=0
unshare --mount --net --pid --fork --kill-child --mount-proc tests/kubernetes/inside.sh "$@" 9>&- || status=$?
# Control groups outlive the namespaces.
for _ in 1 2 3; do find /sys/fs/cgroup -depth -path '*kubepods*' -type d -exec rmdir {} + 2>/dev/null || true; done
[ "$status" -ne 0 ] || rm -rf "$run"
[ "$status" -ne 3 ] || not_checked "the chart on a cluster; expected one that starts, but it did not: see above"
exit "$status"
