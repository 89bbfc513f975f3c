#!/usr/bin/env bash
# Runs every check of the project on a Debian machine with a Rust toolchain.
# What is missing is installed; what can not be installed is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$1"; }

install_packages() {
    local missing=()
    command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
    command -v prometheus-alertmanager >/dev/null && command -v amtool >/dev/null || missing+=(prometheus-alertmanager)
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    command -v python3 >/dev/null || missing+=(python3)
    command -v curl >/dev/null || missing+=(curl)
    command -v systemd-socket-activate >/dev/null || missing+=(systemd)
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(faketime)
    type -P kill >/dev/null || missing+=(procps)
    [ -x /usr/bin/tinyproxy ] || [ -x /usr/sbin/tinyproxy ] || missing+=(tinyproxy-bin)
    command -v ip >/dev/null || missing+=(iproute2)
    command -v unshare >/dev/null || missing+=(util-linux)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -eq 0 ] && return
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "expected ${missing[*]}, but found none, nor sudo to install them; install them and try again" >&2
            exit 1
        }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

install_python_parser() {
    local venv=target/python
    if ! "$venv/bin/python3" -c 'import prometheus_client' 2>/dev/null; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check prometheus-client==0.22.1
    fi
    PATH="$PWD/$venv/bin:$PATH"
    export PATH
}

# Grafana's types, and the compiler that checks the dashboards against them.
install_grafana_types() {
    local node=target/node typescript=5.9.3 schema=13.2.3
    [ "$(cat "$node/versions" 2>/dev/null)" = "$typescript $schema" ] && return
    mkdir -p "$node"
    npm install --prefix "$node" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error \
        "typescript@$typescript" "@grafana/schema@$schema"
    echo "$typescript $schema" >"$node/versions"
}

say "tools"
install_packages
mkdir -p target
install_python_parser
install_grafana_types
promtool --version | head -n 1
python3 --version

say "format"
cargo fmt --check

say "lints"
cargo clippy --locked --all-targets -- -D warnings

say "tests"
cargo test --locked

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet

say "all green"
