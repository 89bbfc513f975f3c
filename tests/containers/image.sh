#!/usr/bin/env bash
# What the images hold, and how they run; then deploy/compose. Run by `run.sh`, on a network of its own.
set -euo pipefail

# Nothing of these is to stay on the machine. The runtime wants one kind of control groups alone.
mkdir -p /var/lib/cni
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /var/lib/cni
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
ip link set lo up
podman rm --all --force --volumes >/dev/null
podman volume rm --all --force >/dev/null

expect() {
    [ "$2" = "$3" ] || {
        echo "expected $1 to be $2, but found $3" >&2
        exit 1
    }
}
fails() { if "$@"; then exit 1; fi; }
# Waits until the answer of an address has a line that fits.
shows() {
    for _ in $(seq 300); do
        if curl -sf --max-time 5 "$1" | grep -E "$2" >/dev/null; then return; fi
        sleep 0.2
    done
    echo "expected $1 to show $2, but found:" >&2
    curl -sS --max-time 5 "$1" | tail -n 20 >&2 || true
    podman ps --all >&2
    podman ps --all --quiet | xargs -n 1 podman logs --tail 5 >&2
    exit 1
}
image=defender-scan-exporter
metrics=http://127.0.0.1:10063/metrics

echo "== what the images are"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$PROJECT/Cargo.toml" | head -n 1)
for architecture in amd64 arm64; do
    podman image inspect $image:$architecture >inspected.json
    jq --exit-status --arg architecture $architecture --arg version "$version" '
        .[0] | .Architecture == $architecture and .Os == "linux"
        and .Config.User == "65532:65532"
        and .Config.Volumes == {"/data": {}}
        and .Config.ExposedPorts == {"10063/tcp": {}}
        and .Config.Entrypoint == ["/defender-scan-exporter"]
        and .Config.Cmd == ["--config.file=/etc/defender-scan-exporter/exporter.yml"]
        and (.HealthCheck // .Healthcheck).Test == ["CMD", "/defender-scan-exporter", "healthcheck"]
        and (.Labels | .["org.opencontainers.image.title"] == "defender-scan-exporter"
            and .["org.opencontainers.image.version"] == $version
            and .["org.opencontainers.image.revision"] == env.REVISION
            and .["org.opencontainers.image.licenses"] == "Apache-2.0"
            and (.["org.opencontainers.image.description"] | length) > 0)
    ' inspected.json >/dev/null || { cat inspected.json; exit 1; }
    tree=$(podman image mount $image:$architecture)
    expect "its files" "/ /data /defender-scan-exporter /etc /etc/ssl /etc/ssl/certs /etc/ssl/certs/ca-certificates.crt" \
        "$(find "$tree" -printf '/%P\n' | sort | xargs)"
    expect "the owner of /" 0:0 "$(stat -c %u:%g "$tree")"
    expect "the owner of /data" "65532:0 770" "$(stat -c "%u:%g %a" "$tree/data")"
    echo "$architecture: $(jq '.[0].Size' inspected.json) bytes, of them the binary $(stat -c %s "$tree/defender-scan-exporter")"
    podman image unmount $image:$architecture >/dev/null
done

start() {
    podman run --detach --read-only --cap-drop ALL --security-opt no-new-privileges "$@" >/dev/null
}
health() { podman inspect --format '{{.State.Health.Status}}' "$1"; }

echo "== the demo"
start --name exporter --publish 127.0.0.1:10063:10063 --volume exporter:/data $image:amd64 demo
shows $metrics '^defender_scan_status_code\{'
process=/proc/$(podman inspect --format '{{.State.Pid}}' exporter)
expect "its user" 65532 "$(stat -c %u "$process")"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do grep -P "^$set:\t0+$" "$process/status" >/dev/null; done
grep -P '^NoNewPrivs:\t1$' "$process/status" >/dev/null
expect "its root" ro "$(awk '$5 == "/" { print $6 }' "$process/mountinfo" | cut -d , -f 1)"
expect "its version" "$version (revision $REVISION," \
    "$(podman run --rm $image:amd64 --version | grep -o "$version (revision [0-9a-f]*,")"
# By hand: without systemd on the machine podman has no timer for it.
podman healthcheck run exporter
expect "its health" healthy "$(health exporter)"
start --name elsewhere $image:amd64 demo --web.listen-address=:10064
fails podman healthcheck run elsewhere
podman rm --force elsewhere >/dev/null

echo "== it stops, and goes on where it was"
calls='^defender_api_requests_total\{tenant="demo-1",endpoint="definitions",code="200"\}'
calls() { curl -sf $metrics | grep -E "$calls" | cut -d ' ' -f 2; }
# More than it makes at once.
shows $metrics "$calls [3-9]"
before=$(calls)
began=$(date +%s%3N)
podman stop --time 10 exporter >/dev/null
took=$(($(date +%s%3N) - began))
expect "its exit code" 0 "$(podman inspect --format '{{.State.ExitCode}}' exporter)"
[ "$took" -lt 5000 ] || expect "its end after SIGTERM" "below 5000 ms" "$took ms"
podman start exporter >/dev/null
shows $metrics '^defender_scan_status_code\{'
after=$(calls)
[ "$after" -ge "$before" ] || expect "calls after the restart" "$before or more" "$after"
podman rm --force exporter >/dev/null
echo "ended $took ms after SIGTERM; $before calls before, and $after soon after"

echo "== a configuration"
fails podman run --rm $image:amd64 2>said
grep exporter.yml said
mkdir -p configuration
cp "$PROJECT/deploy/compose/exporter/exporter.yml" configuration
(umask 077 && echo not-a-real-one >configuration/secret)
check() {
    podman run --rm --volume "$PWD/configuration:/etc/defender-scan-exporter:ro" $image:amd64 \
        check-config --config.file=/etc/defender-scan-exporter/exporter.yml
}
chown 0 configuration/secret
fails check
chown 65532 configuration/secret
check

echo "== the demo on arm64, by qemu"
start --name arm64 --publish 127.0.0.1:10063:10063 --volume /usr/bin/qemu-aarch64-static:/qemu:ro \
    --entrypoint '["/qemu", "/defender-scan-exporter"]' $image:arm64 demo
shows $metrics '^defender_scan_status_code\{'
podman exec arm64 /qemu /defender-scan-exporter healthcheck
podman exec arm64 /qemu /defender-scan-exporter --version
podman stop --time 10 arm64 >/dev/null
expect "its exit code" 0 "$(podman inspect --format '{{.State.ExitCode}}' arm64)"
podman rm --force arm64 >/dev/null

. "$PROJECT/tests/containers/compose.sh"
echo "== all is well"
