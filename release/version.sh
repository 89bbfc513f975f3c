#!/usr/bin/env bash
# Checks that one version is named everywhere: release/version.sh TAG
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?expected a tag, such as v0.1.0}
wrong=0
expect() {
    [ "$2" = "${tag#v}" ] || {
        echo "$1: expected version ${tag#v}, as the tag is $tag, but found ${2:-none}; correct one of them" >&2
        wrong=1
    }
}
of() { sed -n "s/$1/\1/p" "$2" | head -n 1; }
expect Cargo.toml "$(of '^version = "\(.*\)"$' Cargo.toml)"
expect Cargo.lock "$(sed -n '/^name = "defender-scan-exporter"$/{n;s/^version = "\(.*\)"$/\1/p}' Cargo.lock)"
expect Dockerfile "$(of '.*image\.version="\(.*\)".*' Dockerfile)"
chart=deploy/helm/defender-scan-exporter/Chart.yaml
expect "$chart, version" "$(of '^version: \(.*\)$' $chart)"
expect "$chart, appVersion" "$(of '^appVersion: \(.*\)$' $chart)"
exit "$wrong"
